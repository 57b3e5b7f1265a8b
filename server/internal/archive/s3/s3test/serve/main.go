// Serve runs a throwaway S3 store with object lock and one bucket for programs outside the server's tree: it prints how to
// reach it as one line of JSON, and ends with its standard input. Usage: serve DIR
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"camseal/server/internal/archive/s3/s3test"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: serve DIR")
		return 2
	}
	if err := serve(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	return 0
}

func serve(dir string) error {
	ctx := context.Background()
	s, err := s3test.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	c, err := s.Bucket(ctx, "evidence")
	if err != nil {
		return err
	}
	// The secrets are random, made for this run, and die with it.
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{"endpoint": s.Endpoint, "ca_file": s.CAFile, "bucket": c.Bucket,
		"access": s.AccessKey, "secret": string(s.SecretKey), "root_access": s.RootAccess, "root_secret": string(s.RootSecret), "pid": s.PID()})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
