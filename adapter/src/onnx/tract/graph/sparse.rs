//! Sparse constants, which the engine does not read, made dense.

use tract_onnx::pb::{
    GraphProto, SparseTensorProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};

use super::{MAX_DEPTH, extents};
use crate::onnx::engine::LoadError;

/// Makes every sparse initializer and every sparse `Constant` of the graph and its subgraphs dense.
pub(super) fn densify(graph: &mut GraphProto, depth: usize) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        // The search for missing operators says so.
        return Ok(());
    }
    for sparse in std::mem::take(&mut graph.sparse_initializer) {
        graph.initializer.push(dense(sparse)?);
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(sparse) = attribute.sparse_tensor.take() {
            attribute.t = Some(dense(sparse)?);
            attribute.r#type = AttributeType::Tensor.into();
            if attribute.name == "sparse_value" {
                "value".clone_into(&mut attribute.name);
            }
        }
        for subgraph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            densify(subgraph, depth + 1)?;
        }
    }
    Ok(())
}

fn dense(sparse: SparseTensorProto) -> Result<TensorProto, LoadError> {
    let name = sparse
        .values
        .as_ref()
        .map(|values| values.name.clone())
        .unwrap_or_default();
    filled(sparse).map_err(|reason| LoadError::Unsupported {
        reason: format!("sparse tensor {name:?}: {reason}"),
    })
}

fn filled(sparse: SparseTensorProto) -> Result<TensorProto, String> {
    let values = sparse.values.ok_or("it has no values")?;
    let indices = sparse.indices.ok_or("it has no indices")?;
    let dims = sparse.dims;
    let extents = dims
        .iter()
        .map(|dim| usize::try_from(*dim))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "a dimension is negative")?;
    let total = extents
        .iter()
        .map(|extent| *extent as u128)
        .fold(1, u128::saturating_mul);
    if total > extents::MAX_ELEMENTS {
        return Err(format!(
            "{total} elements, the limit is {}",
            extents::MAX_ELEMENTS
        ));
    }
    let total = usize::try_from(total).map_err(|_| "too many elements")?;
    let (size, packed) = raw_values(&values)?;
    let count = packed.len() / size;
    let positions = positions(&indices, &extents, count)?;
    let mut raw = vec![0; total * size];
    for (value, position) in packed.chunks_exact(size).zip(positions) {
        let element = raw.get_mut(position * size..(position + 1) * size);
        element
            .ok_or("an index lies outside of its dimensions")?
            .copy_from_slice(value);
    }
    Ok(TensorProto {
        name: values.name,
        dims,
        data_type: values.data_type,
        raw_data: raw,
        ..TensorProto::default()
    })
}

/// Size of an element, and all values in raw form.
fn raw_values(values: &TensorProto) -> Result<(usize, Vec<u8>), String> {
    let kind = DataType::try_from(values.data_type).map_err(|_| "its values have no type")?;
    let size = match kind {
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 1,
        other => return Err(format!("values of type {other:?} are not supported")),
    };
    if values.data_location.is_some_and(|location| location != 0) {
        return Err("external values are not supported".to_owned());
    }
    let raw: Vec<u8> = if values.raw_data.is_empty() {
        match kind {
            DataType::Float => values.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Double => values.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Int64 => values.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Uint64 => values.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Uint32 => values
                .uint64_data
                .iter()
                .flat_map(|v| v.to_le_bytes().into_iter().take(4))
                .collect(),
            // The low bytes of an int32 each.
            _ => values
                .int32_data
                .iter()
                .flat_map(|v| v.to_le_bytes().into_iter().take(size))
                .collect(),
        }
    } else {
        values.raw_data.clone()
    };
    if !raw.len().is_multiple_of(size) {
        return Err("its raw values end inside an element".to_owned());
    }
    Ok((size, raw))
}

/// Where each value goes, from flat indices or from one index for each dimension.
fn positions(indices: &TensorProto, extents: &[usize], count: usize) -> Result<Vec<usize>, String> {
    let (raw, rest) = indices.raw_data.as_chunks::<8>();
    let numbers = if rest.is_empty() && !raw.is_empty() {
        raw.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    } else {
        indices.int64_data.clone()
    };
    let rank = if indices.dims.len() == 2 {
        extents.len().max(1)
    } else {
        1
    };
    if indices.data_type != DataType::Int64 as i32 || Some(numbers.len()) != count.checked_mul(rank) {
        return Err(format!("{} indices for {count} values", numbers.len()));
    }
    let total = extents.iter().product::<usize>();
    let flat = [total];
    let bounds: &[usize] = if indices.dims.len() == 2 { extents } else { &flat };
    let position = |index: &[i64]| {
        index.iter().zip(bounds).try_fold(0, |position, (index, bound)| {
            let index = usize::try_from(*index).ok().filter(|index| index < bound)?;
            Some(position * bound + index)
        })
    };
    numbers
        .chunks_exact(rank)
        .map(|index| position(index).ok_or_else(|| format!("index {index:?} lies outside of {extents:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(values: &[f32], indices: &[i64], index_dims: &[i64], dims: &[i64]) -> SparseTensorProto {
        SparseTensorProto {
            values: Some(TensorProto {
                name: "s".to_owned(),
                data_type: DataType::Float.into(),
                float_data: values.to_vec(),
                ..TensorProto::default()
            }),
            indices: Some(TensorProto {
                data_type: DataType::Int64.into(),
                int64_data: indices.to_vec(),
                dims: index_dims.to_vec(),
                ..TensorProto::default()
            }),
            dims: dims.to_vec(),
        }
    }

    fn floats(tensor: &TensorProto) -> Vec<f32> {
        let (chunks, _) = tensor.raw_data.as_chunks::<4>();
        chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    #[test]
    fn both_forms_of_indices_are_read() {
        let expected = [0.0, 1.5, 0.0, 0.0, 0.0, 2.5];
        let tensor = dense(sparse(&[1.5, 2.5], &[1, 5], &[2], &[2, 3])).unwrap();
        assert_eq!(
            (floats(&tensor).as_slice(), tensor.dims.as_slice()),
            (&expected[..], &[2, 3][..])
        );
        let tensor = dense(sparse(&[1.5, 2.5], &[0, 1, 1, 2], &[2, 2], &[2, 3])).unwrap();
        assert_eq!(floats(&tensor), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (values, indices, index_dims, dims, expected) in [
            (
                &[1.0][..],
                &[6][..],
                &[1][..],
                &[2, 3][..],
                "index [6] lies outside of [2, 3]",
            ),
            (&[1.0], &[-1], &[1], &[2, 3], "index [-1] lies outside"),
            (&[1.0], &[0, 3], &[1, 2], &[2, 3], "index [0, 3] lies outside"),
            (&[1.0], &[0, 1], &[2], &[2, 3], "2 indices for 1 values"),
            (&[1.0], &[0], &[1], &[-2], "a dimension is negative"),
            (&[1.0], &[0], &[1], &[i64::MAX, i64::MAX], "the limit is"),
        ] {
            let error = dense(sparse(values, indices, index_dims, dims))
                .unwrap_err()
                .to_string();
            assert!(error.contains("\"s\"") && error.contains(expected), "{error}");
        }
    }
}
