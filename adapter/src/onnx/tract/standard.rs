//! Operators of the default domain that the engine has, but not for all that converters emit.

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_hir::{
        internal::*,
        tract_core::ops::{array::MultiBroadcastTo, nn},
    },
};

use super::ml::{Built, Fact, Kernel, KernelOp};

/// Puts the operators into the engine's register, in the place of its own.
pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("ConstantOfShape", constant_of_shape);
    register.insert("Sigmoid", |_, _| Ok((expand(Sigmoid), vec![])));
}

// --- Sigmoid ------------------------------------------------------------------------------------------------------

/// The engine's own has no doubles.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sigmoid;

impl Expansion for Sigmoid {
    fn name(&self) -> StaticName {
        "Sigmoid".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type == DatumType::F64 {
            model.wire_node(prefix, KernelOp::new(Elementwise::SigmoidOfDoubles), inputs)
        } else {
            model.wire_node(prefix, nn::sigmoid(), inputs)
        }
    }
}

// --- ConstantOfShape ----------------------------------------------------------------------------------------------

/// The engine's own is a broadcast scalar, which its optimizer feeds to a matrix multiplication as it is: a scalar is
/// no matrix. Gaussian processes multiply such constants.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConstantOfShape {
    value: Arc<Tensor>,
}

fn constant_of_shape(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let value = match super::ml::tensor_attribute(ctx, node, "value")? {
        Some(value) => {
            ensure!(
                value.len() == 1,
                "value must be one element, it has {}",
                value.len()
            );
            value.into_shape(&[])?
        }
        None => tensor0(0.0_f32),
    };
    let value = value.into_arc_tensor();
    Ok((expand(ConstantOfShape { value }), vec![]))
}

impl Expansion for ConstantOfShape {
    fn name(&self) -> StaticName {
        "ConstantOfShape".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, self.value.datum_type())?;
        s.equals(&inputs[0].rank, 1)?;
        s.equals(&inputs[0].shape[0], outputs[0].rank.bex().to_dim())?;
        s.given(&inputs[0].value, move |s, shape| {
            let shape = shape.cast_to::<TDim>()?;
            for (axis, dim) in shape.try_as_plain_ram()?.as_slice::<TDim>()?.iter().enumerate() {
                s.equals(&outputs[0].shape[axis], dim)?;
            }
            Ok(())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.konst.clone();
        let shape = shape.context("the shape depends on the values of the inputs")?;
        let shape = shape.cast_to::<TDim>()?;
        let shape = shape.try_as_plain_ram()?.as_slice::<TDim>()?;
        let value = model.add_const(format!("{prefix}.value"), self.value.clone())?;
        let full = model.wire_node(
            format!("{prefix}.full"),
            MultiBroadcastTo::new(shape.into()),
            &[value],
        )?;
        if shape.iter().all(|dim| dim.to_usize().is_ok()) {
            return Ok(full);
        }
        // What the optimizer cannot see through.
        model.wire_node(prefix, KernelOp::new(Elementwise::Same), &full)
    }
}

// --- Element by element -------------------------------------------------------------------------------------------

#[derive(Debug)]
enum Elementwise {
    Same,
    SigmoidOfDoubles,
}

impl Kernel for Elementwise {
    fn name(&self) -> &'static str {
        match self {
            Self::Same => "Same",
            Self::SigmoidOfDoubles => "Sigmoid",
        }
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(inputs.iter().cloned().collect())
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let map = |input: &TValue| {
            let mut output = input.clone().into_tensor();
            if matches!(self, Self::SigmoidOfDoubles) {
                for value in output.try_as_plain_ram_mut()?.as_slice_mut::<f64>()? {
                    *value = 1.0 / (1.0 + (-*value).exp());
                }
            }
            Ok(output)
        };
        inputs.iter().map(map).collect()
    }

    fn size_bytes(&self) -> usize {
        0
    }
}
