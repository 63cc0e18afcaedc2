package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"stowage.test/gateway/gen"
)

type requestJSON struct {
	ID         string         `json:"id"`
	Parameters map[string]any `json:"parameters"`
	Inputs     []inputJSON    `json:"inputs"`
	Outputs    []struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters"`
	} `json:"outputs"`
}

// The keys may come in any order, so the data is kept as text until the datatype is known.
type inputJSON struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters map[string]any  `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

func decodeRequest(reader io.Reader, request *gen.ModelInferRequest) error {
	var body requestJSON
	if err := json.NewDecoder(reader).Decode(&body); err != nil {
		return err
	}
	request.Id = body.ID
	var err error
	if request.Parameters, err = parameters(body.Parameters); err != nil {
		return err
	}
	request.Inputs = make([]*gen.ModelInferRequest_InferInputTensor, len(body.Inputs))
	for i := range body.Inputs {
		if request.Inputs[i], err = body.Inputs[i].tensor(); err != nil {
			return fmt.Errorf("input %q: %w", body.Inputs[i].Name, err)
		}
	}
	for _, output := range body.Outputs {
		asked := &gen.ModelInferRequest_InferRequestedOutputTensor{Name: output.Name}
		if asked.Parameters, err = parameters(output.Parameters); err != nil {
			return fmt.Errorf("output %q: %w", output.Name, err)
		}
		request.Outputs = append(request.Outputs, asked)
	}
	return nil
}

func (input *inputJSON) tensor() (*gen.ModelInferRequest_InferInputTensor, error) {
	tensor := &gen.ModelInferRequest_InferInputTensor{
		Name:     input.Name,
		Datatype: input.Datatype,
		Shape:    input.Shape,
		Contents: &gen.InferTensorContents{},
	}
	var err error
	if tensor.Parameters, err = parameters(input.Parameters); err != nil {
		return nil, err
	}
	contents, text := tensor.Contents, flat(input.Data)
	size := elements(input.Shape)
	switch input.Datatype {
	case "BOOL":
		contents.BoolContents, err = list[bool](text, size)
	case "UINT8", "UINT16", "UINT32":
		contents.UintContents, err = list[uint32](text, size)
	case "UINT64":
		contents.Uint64Contents, err = list[uint64](text, size)
	case "INT8", "INT16", "INT32":
		contents.IntContents, err = list[int32](text, size)
	case "INT64":
		contents.Int64Contents, err = list[int64](text, size)
	case "FP32":
		contents.Fp32Contents, err = list[float32](text, size)
	case "FP64":
		contents.Fp64Contents, err = list[float64](text, size)
	case "BYTES":
		var values []string
		if values, err = list[string](text, size); err == nil {
			contents.BytesContents, err = byteStrings(values, input.Parameters["content_type"] == "base64")
		}
	default:
		err = fmt.Errorf("datatype %q cannot be given in JSON", input.Datatype)
	}
	return tensor, err
}

// list parses a flat array into a slice that is made once, because its length is known.
func list[T any](text []byte, size int) ([]T, error) {
	// No element takes less than a digit and a comma: a small body does not ask for a large slice.
	values := make([]T, 0, min(size, len(text)/2+1))
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	if len(values) != size {
		return nil, fmt.Errorf("the shape takes %d elements, but data has %d", size, len(values))
	}
	return values, nil
}

func byteStrings(values []string, coded bool) ([][]byte, error) {
	contents := make([][]byte, len(values))
	for i, value := range values {
		contents[i] = []byte(value)
		if coded {
			var err error
			if contents[i], err = base64.StdEncoding.DecodeString(value); err != nil {
				return nil, err
			}
		}
	}
	return contents, nil
}

// flat takes the inner brackets of nested arrays away, in place. Text that is flat already is not touched.
func flat(text []byte) []byte {
	nested := false
	depth, inString := 0, false
	end := 0
	for i := 0; i < len(text); i++ {
		character := text[i]
		switch {
		case inString:
			if character == '\\' {
				text[end] = character
				end++
				i++
				character = text[i]
			} else {
				inString = character != '"'
			}
		case character == '"':
			inString = true
			if !nested {
				return text
			}
		case character == '[':
			depth++
			if depth > 1 {
				nested = true
				continue
			}
		case character == ']':
			depth--
			if depth > 0 {
				continue
			}
		case !nested && depth == 1 && character > ' ':
			return text
		}
		text[end] = character
		end++
	}
	return text[:end]
}

func elements(shape []int64) int {
	count := 1
	for _, size := range shape {
		count *= int(size)
	}
	return count
}

func parameters(values map[string]any) (map[string]*gen.InferParameter, error) {
	if len(values) == 0 {
		return nil, nil
	}
	result := make(map[string]*gen.InferParameter, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case bool:
			result[name] = &gen.InferParameter{ParameterChoice: &gen.InferParameter_BoolParam{BoolParam: value}}
		case string:
			result[name] = &gen.InferParameter{ParameterChoice: &gen.InferParameter_StringParam{StringParam: value}}
		case float64:
			result[name] = &gen.InferParameter{ParameterChoice: &gen.InferParameter_Int64Param{Int64Param: int64(value)}}
		default:
			return nil, fmt.Errorf("parameter %q must be a bool, a string or a number", name)
		}
	}
	return result, nil
}
