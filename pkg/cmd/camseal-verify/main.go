// Command camseal-verify checks a bundle of evidence, offline. It needs no server, no TPM and no trust in whoever made it.
package main

import (
	"os"

	"camseal/pkg/cmd/camseal-verify/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
