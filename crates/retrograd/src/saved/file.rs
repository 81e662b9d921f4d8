//! A checkpoint as the bytes of a safetensors file.

use std::io;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Array, Checkpoint, Head, VERSION};
use crate::numbers::Float;

/// The key of the metadata that holds all but the tensors.
const KEY: &str = "retrograd";

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl<T: Float> Checkpoint<T> {
    /// The bytes of its file: the same for the same checkpoint.
    #[inline(never)]
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let head = serde_json::to_string(&self.head).map_err(io::Error::other)?;
        let mut data: Vec<(String, &[usize], Vec<u8>)> = Vec::new();
        for (prefix, arrays) in self.groups() {
            for a in arrays {
                data.push((format!("{prefix}{}", a.name), &a.shape, bytes(&a.values)));
            }
        }
        let dtype = match size_of::<T>() {
            4 => Dtype::F32,
            _ => Dtype::F64,
        };
        let views = data.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.to_vec(), bytes);
            Ok((name, view.map_err(|e| io::Error::other(e.to_string()))?))
        });
        let views = views.collect::<io::Result<Vec<_>>>()?;
        let metadata = [(KEY.to_owned(), head)].into_iter().collect();
        safetensors::serialize(views, Some(metadata)).map_err(|e| io::Error::other(e.to_string()))
    }

    #[inline(never)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Checkpoint<T>, Cause> {
        let said = |e: safetensors::SafeTensorError| Cause::from(e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(said)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(said)?;
        let head = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let head = head.ok_or("it has tensors, and no cell")?;
        let version: Version = serde_json::from_str(head)?;
        if version.version != VERSION {
            let found = version.version;
            return Err(format!("it is of version {found}, and only {VERSION} is known").into());
        }
        let head: Head = serde_json::from_str(head)?;
        let read = |prefix: &str, name: &str| -> Result<Array<T>, Cause> {
            let view = tensors.tensor(&format!("{prefix}{name}")).map_err(said)?;
            Ok(Array {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values: numbers(view.dtype(), view.data())?,
            })
        };
        let all = |prefix: &str, names: &[String]| -> Result<Vec<Array<T>>, Cause> {
            names.iter().map(|name| read(prefix, name)).collect()
        };
        let carried = head.carries.iter().flat_map(|c| {
            let name = move |s: &crate::carry::CarryRows| format!("{}:{}", c.name, s.name);
            c.states.iter().map(name)
        });
        let carried: Vec<String> = carried.collect();
        let averaged = match head.training.averaged {
            true => &head.parameters[..],
            false => &[],
        };
        Ok(Checkpoint {
            parameters: all(PARAMETERS, &head.parameters)?,
            optimizer: all(OPTIMIZER, &head.training.memory)?,
            average: all(AVERAGE, averaged)?,
            carried: all(CARRY, &carried)?,
            extra: all(EXTRA, &head.extra)?,
            head,
        })
    }

    fn groups(&self) -> [(&'static str, &[Array<T>]); 5] {
        [
            (PARAMETERS, &self.parameters),
            (OPTIMIZER, &self.optimizer),
            (AVERAGE, &self.average),
            (CARRY, &self.carried),
            (EXTRA, &self.extra),
        ]
    }
}

/// What the names of tensors begin with.
const PARAMETERS: &str = "";
const OPTIMIZER: &str = "optimizer:";
const AVERAGE: &str = "average:";
const CARRY: &str = "carry:";
const EXTRA: &str = "array:";

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

fn bytes<T: Float>(values: &[T]) -> Vec<u8> {
    match size_of::<T>() {
        4 => (values.iter())
            .flat_map(|v| (v.to_f64() as f32).to_le_bytes())
            .collect(),
        _ => values
            .iter()
            .flat_map(|v| v.to_f64().to_le_bytes())
            .collect(),
    }
}

fn numbers<T: Float>(dtype: Dtype, bytes: &[u8]) -> Result<Vec<T>, Cause> {
    Ok(match dtype {
        Dtype::F32 => {
            let (all, _) = bytes.as_chunks::<4>();
            let wide = all.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
            wide.map(T::from_f64).collect()
        }
        Dtype::F64 => {
            let (all, _) = bytes.as_chunks::<8>();
            let numbers = all.iter().map(|b| f64::from_le_bytes(*b));
            numbers.map(T::from_f64).collect()
        }
        other => return Err(format!("tensors of {other:?} are not read").into()),
    })
}
