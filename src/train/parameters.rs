//! The parameters of a module by name: copied out, written back, averaged over steps.
//!
//! Values are handled flattened, `[n]`, so that nothing here depends on a tensor's rank. Nothing reads the device except
//! [`read`], which does it for all tensors at once and asynchronously.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, ExecutionError, Tensor, Transaction};

/// Flattened values by official name.
pub type Values = BTreeMap<String, Tensor<1>>;

/// What the optimiser knows of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Official name.
    pub name: String,
    /// Whether weight decay pulls it towards zero.
    pub decays: bool,
}

/// The parameters that are trained, by the identity that they keep through optimiser steps.
#[derive(Debug, Clone, Default)]
pub struct Names(HashMap<ParamId, Named>);

impl Names {
    pub fn get(&self, id: ParamId) -> Option<&Named> {
        self.0.get(&id)
    }
}

impl FromIterator<(ParamId, Named)> for Names {
    fn from_iter<I: IntoIterator<Item = (ParamId, Named)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// The tensor as `[n]`.
pub(super) fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.dims().iter().product::<usize>();
    tensor.reshape([count])
}

/// All named parameters of `module`, outside autodiff. Copies no data: the tensors are shared until one of them changes.
pub fn values<M: Module>(module: &M, names: &Names) -> Values {
    struct Visitor<'a>(&'a Names, Values);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(named) = self.0.get(param.id) {
                self.1.insert(named.name.clone(), flatten(param.val().inner()));
            }
        }
    }
    let mut visitor = Visitor(names, Values::new());
    module.visit(&mut visitor);
    visitor.1
}

/// `module` with the given values; parameters that `values` lacks, or holds with another number of elements, stay.
pub fn with_values<M: Module>(module: M, names: &Names, values: &Values) -> M {
    struct Mapper<'a>(&'a Names, &'a Values);
    impl ModuleMapper for Mapper<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.get(param.id).and_then(|named| self.1.get(&named.name)) {
                Some(new) if new.dims()[0] == param.dims().iter().product::<usize>() => {
                    replace(param, |old| new.clone().reshape(old.dims()))
                }
                _ => param,
            }
        }
    }
    module.map(&mut Mapper(names, values))
}

/// Replaces a parameter's value and gives it back its place in autodiff as a fresh leaf.
pub(super) fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    change: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let (id, old, mapper) = param.consume();
    let (strategy, require_grad) = (old.gradient_checkpointing_strategy(), old.is_require_grad());
    let mut new = change(old.inner());
    if let Some(strategy) = strategy {
        new = Tensor::from_inner(new).with_gradient_checkpointing_strategy(strategy);
    }
    if require_grad {
        new = new.require_grad();
    }
    Param::from_mapped_value(id, new, mapper)
}

/// Brings tensors to the host, all in one go.
///
/// # Errors
/// The device's own error: it was lost, or a computation before failed.
pub async fn read(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>, ExecutionError> {
    let mut transaction = Transaction::default();
    for tensor in tensors {
        transaction = transaction.register(tensor);
    }
    let data = transaction.execute_async().await?;
    Ok(data.iter().map(|data| data.iter::<f32>().collect()).collect())
}

/// Host values to `device`.
pub fn upload(values: &BTreeMap<String, Vec<f32>>, device: &Device) -> Values {
    values.iter().map(|(name, values)| (name.clone(), Tensor::from_floats(values.as_slice(), device))).collect()
}

/// A running average of the weights: it varies less from step to step than the weights do, and generalises better
/// (Polyak and Juditsky, 1992).
#[derive(Debug, Clone)]
pub struct WeightAverage {
    decay: f64,
    values: Values,
}

impl WeightAverage {
    /// Starts from `values`. `decay` is the share of the old average that a step keeps.
    pub fn new(decay: f64, values: Values) -> Self {
        Self { decay, values }
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Takes in the weights after step `step` (the first is 1). Early on the average forgets faster, so that the random
    /// start does not linger.
    pub fn update(&mut self, new: Values, step: u32) {
        let keep = self.decay.min(f64::from(step) / (9.0 + f64::from(step)));
        for (name, value) in new {
            let average = match self.values.remove(&name) {
                Some(old) => old.mul_scalar(keep) + value.mul_scalar(1.0 - keep),
                None => value,
            };
            self.values.insert(name, average);
        }
    }
}
