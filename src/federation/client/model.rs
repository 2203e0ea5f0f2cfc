//! The common model as it arrived.

use std::rc::Rc;

use crate::federation::protocol::{Definition, Hash, Layout, UpdateError, UpdatePlan, read_f32};
use crate::scene::{Source, SourceError, check_range};

/// Headers of models are at most this long.
const HEADER_MAX: u64 = 8 << 20;

/// The safetensors file of a model, and what updates of it hold.
#[derive(Clone)]
pub struct CommonModel {
    pub hash: Hash,
    pub bytes: Rc<Vec<u8>>,
    layout: Layout,
    plan: UpdatePlan,
}

/// Bytes that are shared.
struct Shared(Rc<Vec<u8>>);

impl Source for Shared {
    fn name(&self) -> &str {
        "the common model"
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        check_range(self, offset, buf.len())?;
        buf.copy_from_slice(&self.0[offset as usize..][..buf.len()]);
        Ok(())
    }
}

impl CommonModel {
    /// # Errors
    /// [`UpdateError`] when the file is damaged or lacks what the definition says is trained.
    pub fn new(hash: Hash, bytes: Vec<u8>, definition: &Definition) -> Result<Self, UpdateError> {
        let bytes = Rc::new(bytes);
        let layout = Layout::read(&Shared(bytes.clone()), HEADER_MAX)?;
        let plan = UpdatePlan::new(definition, &layout)?;
        Ok(Self { hash, bytes, layout, plan })
    }

    pub fn plan(&self) -> &UpdatePlan {
        &self.plan
    }

    /// The numbers of a trained tensor of the plan.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, UpdateError> {
        let tensor = self.layout.tensors.get(name).ok_or_else(|| UpdateError::Missing { name: name.to_owned() })?;
        let mut values = vec![0.0; tensor.count()];
        read_f32(&Shared(self.bytes.clone()), tensor.at, 0, &mut values)?;
        Ok(values)
    }
}
