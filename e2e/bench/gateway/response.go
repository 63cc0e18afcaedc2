package main

import (
	"encoding/binary"
	"fmt"
	"math"

	"stowage.test/gateway/gen"
)

type responseJSON struct {
	ModelName    string         `json:"model_name"`
	ModelVersion string         `json:"model_version,omitempty"`
	ID           string         `json:"id,omitempty"`
	Parameters   map[string]any `json:"parameters,omitempty"`
	Outputs      []outputJSON   `json:"outputs"`
}

type outputJSON struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       any            `json:"data"`
}

func responseBody(response *gen.ModelInferResponse) (*responseJSON, error) {
	body := &responseJSON{
		ModelName:    response.ModelName,
		ModelVersion: response.ModelVersion,
		ID:           response.Id,
		Parameters:   plain(response.Parameters),
		Outputs:      make([]outputJSON, len(response.Outputs)),
	}
	for i, output := range response.Outputs {
		data, err := any(nil), error(nil)
		if len(response.RawOutputContents) > i {
			data, err = raw(output.Datatype, response.RawOutputContents[i])
		} else {
			data, err = typed(output.Datatype, output.Contents)
		}
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", output.Name, err)
		}
		body.Outputs[i] = outputJSON{
			Name:       output.Name,
			Datatype:   output.Datatype,
			Shape:      output.Shape,
			Parameters: plain(output.Parameters),
			Data:       data,
		}
	}
	return body, nil
}

func typed(datatype string, contents *gen.InferTensorContents) (any, error) {
	switch datatype {
	case "BOOL":
		return contents.GetBoolContents(), nil
	case "UINT8", "UINT16", "UINT32":
		return contents.GetUintContents(), nil
	case "UINT64":
		return contents.GetUint64Contents(), nil
	case "INT8", "INT16", "INT32":
		return contents.GetIntContents(), nil
	case "INT64":
		return contents.GetInt64Contents(), nil
	case "FP32":
		return contents.GetFp32Contents(), nil
	case "FP64":
		return contents.GetFp64Contents(), nil
	case "BYTES":
		return text(contents.GetBytesContents()), nil
	}
	return nil, fmt.Errorf("datatype %q cannot be given in JSON", datatype)
}

func raw(datatype string, data []byte) (any, error) {
	order := binary.LittleEndian
	switch datatype {
	case "BOOL":
		return each(data, 1, func(b []byte) bool { return b[0] != 0 }), nil
	case "UINT8":
		return each(data, 1, func(b []byte) uint32 { return uint32(b[0]) }), nil
	case "UINT16":
		return each(data, 2, order.Uint16), nil
	case "UINT32":
		return each(data, 4, order.Uint32), nil
	case "UINT64":
		return each(data, 8, order.Uint64), nil
	case "INT8":
		return each(data, 1, func(b []byte) int8 { return int8(b[0]) }), nil
	case "INT16":
		return each(data, 2, func(b []byte) int16 { return int16(order.Uint16(b)) }), nil
	case "INT32":
		return each(data, 4, func(b []byte) int32 { return int32(order.Uint32(b)) }), nil
	case "INT64":
		return each(data, 8, func(b []byte) int64 { return int64(order.Uint64(b)) }), nil
	case "FP32":
		return each(data, 4, func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) }), nil
	case "FP64":
		return each(data, 8, func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }), nil
	case "BYTES":
		return split(data)
	}
	return nil, fmt.Errorf("datatype %q cannot be given in JSON", datatype)
}

func each[T any](data []byte, size int, element func([]byte) T) []T {
	values := make([]T, len(data)/size)
	for i := range values {
		values[i] = element(data[i*size : (i+1)*size])
	}
	return values
}

// split cuts strings that have their length before them.
func split(data []byte) ([]string, error) {
	var values []string
	for len(data) >= 4 {
		length := int(binary.LittleEndian.Uint32(data))
		if length > len(data)-4 {
			break
		}
		values = append(values, string(data[4:4+length]))
		data = data[4+length:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%d bytes are left that are no element", len(data))
	}
	return values, nil
}

func text(contents [][]byte) []string {
	values := make([]string, len(contents))
	for i, content := range contents {
		values[i] = string(content)
	}
	return values
}

func plain(parameters map[string]*gen.InferParameter) map[string]any {
	if len(parameters) == 0 {
		return nil
	}
	result := make(map[string]any, len(parameters))
	for name, parameter := range parameters {
		switch choice := parameter.ParameterChoice.(type) {
		case *gen.InferParameter_BoolParam:
			result[name] = choice.BoolParam
		case *gen.InferParameter_Int64Param:
			result[name] = choice.Int64Param
		case *gen.InferParameter_StringParam:
			result[name] = choice.StringParam
		}
	}
	return result
}
