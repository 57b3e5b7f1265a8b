// Command camseal-server takes in sealed recordings, keeps them in a vault, logs them, and hands out bundles.
package main

import (
	"os"

	"camseal/server/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
