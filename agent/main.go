// Camseal-agent takes footage in, seals it with this machine's TPM, and brings it to the server.
package main

import (
	"os"

	"camseal/agent/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
