// Command generate compiles inference.proto and has the pinned protoc plugins write Go code for it into gen/. No protoc
// is needed: protocompile parses, and "go tool" runs the plugins at the versions of go.mod.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	file    = "inference.proto"
	module  = "stowage.test/gateway"
	mapping = "module=" + module + ",M" + file + "=" + module + "/gen"
)

// Plugins and what each is told beside where its packages are.
var plugins = []struct{ tool, option string }{
	{"protoc-gen-go", ""},
	{"protoc-gen-go-grpc", ""},
	{"protoc-gen-grpc-gateway", ",grpc_api_configuration=gateway.yaml"},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: generate FOLDER_OF_INFERENCE_PROTO")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(folder string) error {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{folder}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), file)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: []string{file}}
	for _, compiled := range files {
		request.ProtoFile = append(request.ProtoFile, protoutil.ProtoFromFileDescriptor(linker.File(compiled)))
	}
	for _, plugin := range plugins {
		request.Parameter = proto.String(mapping + plugin.option)
		if err := generate(plugin.tool, request); err != nil {
			return fmt.Errorf("%s: %w", plugin.tool, err)
		}
	}
	return nil
}

func generate(tool string, request *pluginpb.CodeGeneratorRequest) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command("go", "tool", tool)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, generated := range response.File {
		name := filepath.FromSlash(generated.GetName())
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(generated.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
