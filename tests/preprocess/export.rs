//! Class maps written and opened again.

use std::rc::Rc;

use sigmascope::labels::{Class, LabelMap, read_labels};
use sigmascope::scene::export::envi_classification;
use sigmascope::scene::{GeoReference, Kind, MemorySource, OpenOptions, SharedSource, open};

#[test]
fn an_envi_class_map_comes_back_with_names_colours_and_place() {
    let (_, mut map) = sigmascope::scene::teaching::generate(1);
    map.classes.push(Class { name: "Nowhere, {really}".to_owned(), color: [1, 2, 3] });
    let geo = GeoReference {
        map_info: Some("UTM, 1, 1, 368000, 5808000, 30, 30, 33, North, WGS-84".to_owned()),
        coordinate_system: Some("PROJCS[\"WGS 84 / UTM zone 33N\"]".to_owned()),
    };
    let files: Vec<SharedSource> = envi_classification("map of it", &map, Some(&geo))
        .map(|(name, bytes)| Rc::new(MemorySource::new(name, bytes)) as SharedSource)
        .to_vec();
    let cube = open(&files, &OpenOptions::default()).expect("our own file");
    let info = cube.info();
    assert_eq!((info.rows, info.cols, info.bands, info.kind), (map.rows, map.cols, 1, Kind::Labels));
    assert_eq!(info.geo.as_ref(), Some(&geo));
    let back: LabelMap = read_labels(&*cube).expect("class numbers");
    map.classes[10].name = "Nowhere really".to_owned();
    assert_eq!(back, map);
}
