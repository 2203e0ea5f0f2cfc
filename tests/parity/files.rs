//! Parameters in and out of files.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData, read_sync};
use sigmascope::model::{Config, Formula, HyperSigma, ModelError, ParameterError, Task, formula};

fn tiny() -> Config {
    Config::tiny(Task::Segmentation, [32, 32], 8, 6)
}

#[test]
fn a_written_network_is_read_back_with_its_metadata() {
    for complete in [false, true] {
        let config = Config { complete, ..tiny() };
        let device = Device::flex();
        let network = HyperSigma::new(&config, &mut Formula, &device).unwrap();
        let metadata = HashMap::from([("bands".to_string(), "200".to_string())]);
        let bytes = read_sync(network.to_safetensors(metadata)).unwrap();

        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["bands"], "200");
        let stored: usize = header.tensors().values().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        let expected = if complete { config.official_parameter_count() } else { config.parameter_count() };
        assert_eq!(stored, expected);

        let mut other = HyperSigma::fresh(&config, 1, &device).unwrap();
        assert_ne!(read_sync(other.values()).unwrap(), read_sync(network.values()).unwrap());
        let ids: Vec<_> = other.parameters().iter().map(|parameter| parameter.id).collect();
        other.load_safetensors(&bytes).unwrap();
        assert_eq!(read_sync(other.values()).unwrap(), read_sync(network.values()).unwrap());
        assert_eq!(ids, burn::module::list_param_ids(&other));
    }
}

#[test]
fn a_complete_file_opens_as_a_lean_network() {
    let device = Device::flex();
    let complete = HyperSigma::new(&Config { complete: true, ..tiny() }, &mut Formula, &device).unwrap();
    let bytes = read_sync(complete.to_safetensors(HashMap::new())).unwrap();
    let lean = HyperSigma::from_safetensors(&tiny(), &bytes, &device).unwrap();
    assert_eq!(lean.parameters().len(), tiny_names());
}

fn tiny_names() -> usize {
    sigmascope::model::names::live(&tiny()).len()
}

/// Loading into a network in training keeps it trainable.
#[test]
fn a_loaded_network_still_has_gradients() {
    let device = Device::flex().autodiff();
    let bytes = read_sync(HyperSigma::new(&tiny(), &mut Formula, &device).unwrap().to_safetensors(HashMap::new()));
    let mut network = HyperSigma::fresh(&tiny(), 1, &device).unwrap();
    network.load_safetensors(&bytes.unwrap()).unwrap();
    let input = TensorData::new(formula::input(8 * 32 * 32), [1, 8, 32, 32]);
    let gradients = network.forward(Tensor::from_data(input, &device)).sum().backward();
    assert_eq!(read_sync(network.gradients(&gradients)).unwrap().len(), network.parameters().len());
}

#[test]
fn files_of_other_networks_are_refused_and_change_nothing() {
    let device = Device::flex();
    let config = tiny();
    let network = HyperSigma::new(&config, &mut Formula, &device).unwrap();
    let bytes = read_sync(network.to_safetensors(HashMap::new())).unwrap();

    let wider = Config { classes: 7, ..config.clone() };
    let mut other = HyperSigma::fresh(&wider, 1, &device).unwrap();
    let before = read_sync(other.values()).unwrap();
    let error = other.load_safetensors(&bytes).unwrap_err();
    assert!(
        matches!(&error, ParameterError::Shape { name, expected, found }
        if name == "cls.weight" && expected == &[7, 128, 1, 1] && found == &[6, 128, 1, 1]),
        "{error}"
    );
    assert_eq!(read_sync(other.values()).unwrap(), before);

    let error = HyperSigma::from_safetensors(&Config { interval: 3, ..config.clone() }, &bytes, &device).unwrap_err();
    assert!(matches!(error, ModelError::Parameter(ParameterError::Missing { .. })), "{error}");
    let shallow = Config { depth: 3, features: [0, 1, 1, 2], ..config.clone() };
    let error = HyperSigma::from_safetensors(&shallow, &bytes, &device).unwrap_err();
    assert!(matches!(error, ModelError::Parameter(ParameterError::Unexpected { .. })), "{error}");
    let error = HyperSigma::from_safetensors(&config, &bytes[..bytes.len() - 1], &device).unwrap_err();
    assert!(matches!(error, ModelError::Parameter(ParameterError::Malformed(_))), "{error}");
}
