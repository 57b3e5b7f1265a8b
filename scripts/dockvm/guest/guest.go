// Package guest is what the host and the virtual dock's first process say to each other: JSON values, one after another, over a serial line.
// Output does not go over the line: programs write it into the shared folder.
package guest

// Where things are in the dock.
const (
	Shared   = "/dock"        // the folder that host and dock share, writable
	Programs = "/opt/camseal" // the programs under test, read-only
	State    = "/var/lib"     // a disk of its own, which survives a power cut
	Address  = "10.0.2.15"    // of the dock
	Host     = "10.0.2.2"     // the host's loopback, as the dock reaches it
	Line     = "camseal.dock" // name of the serial line
)

// Op is what a Request asks for.
type Op string

// What the host asks for.
const (
	OpStart  Op = "start"  // start Argv, and say how it ended
	OpSignal Op = "signal" // send Signal to the process group of ID
	OpOff    Op = "off"    // end everything in order, unmount, switch off
)

// Request is what the host asks for.
type Request struct {
	ID     uint64   `json:"id"` // of the process, given by the host
	Op     Op       `json:"op"`
	Argv   []string `json:"argv,omitempty"`   // the program is searched for on the path
	Env    []string `json:"env,omitempty"`    // added to the usual
	Out    string   `json:"out,omitempty"`    // where its output goes, a path in the dock
	Err    string   `json:"err,omitempty"`    // the same as Out: into one file
	Signal int      `json:"signal,omitempty"` //
}

// Event is what the dock says.
type Event struct {
	ID     uint64 `json:"id"`              // of the process; 0: the dock itself is up
	Status int    `json:"status"`          // exit status, or 128 and the signal
	Error  string `json:"error,omitempty"` // why it could not be started; for the dock: why it does not come up
}
