// Camseal-bridge finds recorders on the ports of a dock, makes their storage readable for the agent, and erases on permits that it checks
// itself. It holds no key.
package main

import (
	"os"

	"camseal/firmware-bridge/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
