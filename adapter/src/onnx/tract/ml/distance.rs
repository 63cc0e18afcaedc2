//! `CDist`: the distance of each row of one matrix to each row of another.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{Built, Fact, Kernel, Rows, built, tensor_of};

#[derive(Debug)]
struct CDist {
    /// Whether the square root is left out.
    squared: bool,
}

pub(super) fn cdist(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let squared = match node.get_attr_opt::<&str>("metric")? {
        None | Some("sqeuclidean") => true,
        Some("euclidean") => false,
        Some(other) => bail!("unknown metric {other:?}"),
    };
    built(CDist { squared })
}

impl CDist {
    fn distances<T: Datum + Copy + Into<f64>>(&self, left: &Tensor, right: &Tensor) -> TractResult<Vec<f64>> {
        let (left, right) = (Rows::<T>::of(left)?, Rows::<T>::of(right)?);
        right.expect(left.columns)?;
        let total = left.count.checked_mul(right.count).context("output too large")?;
        let mut distances = Vec::with_capacity(total);
        for a in left.iter() {
            for b in right.iter() {
                let difference = |(a, b): (&T, &T)| (*a).into() - (*b).into();
                let sum = a.iter().zip(b).map(difference).map(|d| d * d).sum::<f64>();
                distances.push(if self.squared { sum } else { sum.sqrt() });
            }
        }
        Ok(distances)
    }
}

impl Kernel for CDist {
    fn name(&self) -> &'static str {
        "CDist"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [(datum_type, left), (other, right)] = inputs else {
            bail!("expected 2 inputs, got {}", inputs.len())
        };
        ensure!(
            datum_type == other && matches!(datum_type, DatumType::F32 | DatumType::F64),
            "expected two inputs of floats or doubles, got {datum_type:?} and {other:?}"
        );
        let ([left, _], [right, _]) = (left.as_slice(), right.as_slice()) else {
            bail!(
                "expected two matrices, got ranks {} and {}",
                left.len(),
                right.len()
            )
        };
        Ok(tvec![(*datum_type, tvec![left.clone(), right.clone()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [left, right] = inputs else {
            bail!("expected 2 inputs, got {}", inputs.len())
        };
        let ([rows, _], [columns, _]) = (left.shape(), right.shape()) else {
            bail!(
                "expected two matrices, got shapes {:?} and {:?}",
                left.shape(),
                right.shape()
            )
        };
        let shape = [*rows, *columns];
        Ok(tvec![if left.datum_type() == DatumType::F64 {
            tensor_of(&shape, self.distances::<f64>(left, right)?)?
        } else {
            let distances = self.distances::<f32>(left, right)?;
            #[allow(clippy::cast_possible_truncation, reason = "the operator answers floats")]
            let distances = distances.into_iter().map(|distance| distance as f32).collect();
            tensor_of(&shape, distances)?
        }])
    }

    fn size_bytes(&self) -> usize {
        0
    }
}
