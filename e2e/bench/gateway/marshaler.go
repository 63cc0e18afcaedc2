package main

import (
	"encoding/json"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"stowage.test/gateway/gen"
)

// marshaler reads and writes inferences as the protocol has them in JSON, and everything else as protobuf has it.
type marshaler struct {
	runtime.JSONPb
}

func (m *marshaler) NewDecoder(reader io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(value any) error {
		request, ok := value.(*gen.ModelInferRequest)
		if !ok {
			return m.JSONPb.NewDecoder(reader).Decode(value)
		}
		return decodeRequest(reader, request)
	})
}

func (m *marshaler) Marshal(value any) ([]byte, error) {
	response, ok := value.(*gen.ModelInferResponse)
	if !ok {
		return m.JSONPb.Marshal(value)
	}
	body, err := responseBody(response)
	if err != nil {
		return nil, err
	}
	return json.Marshal(body)
}
