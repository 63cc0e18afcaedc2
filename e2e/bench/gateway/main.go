// Command gateway is what the REST bench compares the router's REST port with: a proxy from the V2 protocol over HTTP to
// gRPC in the usual Go way, a grpc-gateway mux with a marshaler that knows the protocol's JSON. KServe's rest-proxy was
// built like this.
//
//	gateway LISTEN_ADDRESS GRPC_ADDRESS
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"stowage.test/gateway/gen"
)

// Largest message, as the router takes it by default.
const maxMessage = 16 << 20

// Windows of the HTTP/2 connection to the backend, as the router's: a large tensor should not wait for updates.
const (
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: gateway LISTEN_ADDRESS GRPC_ADDRESS")
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func serve(address, backend string) error {
	connection, err := grpc.NewClient(backend,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &marshaler{}))
	if err := gen.RegisterGRPCInferenceServiceHandler(context.Background(), mux, connection); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}
