package evidence

import "bytes"

// Log leaves: canonical JSON that the server's transparency log takes in. They hold no personal data. SPEC.md section 6.

// Lock says how a vault keeps objects from being changed.
type Lock string

// The locks.
const (
	LockCompliance Lock = "compliance" // S3 object lock in compliance mode
	LockFolder     Lock = "folder"     // a folder on the server's own disk
)

// Seen says: the log's keeper has these statements.
type Seen struct {
	Device DeviceID `json:"device"`
	Head   Digest   `json:"head"` // H(Seq), sealed
	Prev   *uint64  `json:"prev"` // log index of the device's previous seen leaf; null for the first
	Seq    uint64   `json:"seq"`
	Type   string   `json:"type"`
	V      int      `json:"v"`
}

// Stored says: these chunks of a recording are in the vault, checked, locked and read back.
type Stored struct {
	Absent   []uint64    `json:"absent,omitempty"` // indexes of chunks declared lost, ascending
	Chunks   uint64      `json:"chunks"`           // chunks 0 to Chunks-1 are covered
	Close    *Digest     `json:"close"`            // D of the close statement; null while the recording is open
	Device   DeviceID    `json:"device"`
	List     Digest      `json:"list"` // ListDigest over the D of chunks 0 to Chunks-1
	Lock     Lock        `json:"lock"`
	Manifest Digest      `json:"manifest"` // SHA-256 of the vault's manifest object
	Open     Digest      `json:"open"`     // D of the open statement
	Rec      RecordingID `json:"rec"`
	Type     string      `json:"type"`
	Until    int64       `json:"until"` // the earliest end of retention of all chunks, milliseconds since 1970 UTC
	V        int         `json:"v"`
	Vault    string      `json:"vault"` // the vault's id
}

// Custody stands for a custody event that lies in the vault.
type Custody struct {
	Event Digest `json:"event"` // SHA-256 of the event's bytes, which hold a salt
	Type  string `json:"type"`
	V     int    `json:"v"`
}

// Revoke says: what this device says from now on is not accepted.
type Revoke struct {
	Device       DeviceID `json:"device"`
	SuspectSince *int64   `json:"suspect_since"`
	Type         string   `json:"type"`
	V            int      `json:"v"`
}

// Export says: this bundle was made by the log's keeper.
type Export struct {
	Device   DeviceID    `json:"device"`
	Last     uint64      `json:"last"`     // n of the recording's last statement: the server's claim
	Manifest Digest      `json:"manifest"` // SHA-256 of the bundle's manifest-sha256.txt
	Rec      RecordingID `json:"rec"`
	Type     string      `json:"type"`
	V        int         `json:"v"`
}

// Leaf is one of *Seen, *Stored, *Custody, *Revoke and *Export.
type Leaf interface{ leafType() string }

func (*Seen) leafType() string    { return "seen" }
func (*Stored) leafType() string  { return "stored" }
func (*Custody) leafType() string { return "custody" }
func (*Revoke) leafType() string  { return "revoke" }
func (*Export) leafType() string  { return "export" }

// EncodeLeaf fills in the leaf's type and version and writes its bytes.
func EncodeLeaf(l Leaf) ([]byte, error) {
	switch l := l.(type) {
	case *Seen:
		l.Type, l.V = l.leafType(), Version
	case *Stored:
		l.Type, l.V = l.leafType(), Version
	case *Custody:
		l.Type, l.V = l.leafType(), Version
	case *Revoke:
		l.Type, l.V = l.leafType(), Version
	case *Export:
		l.Type, l.V = l.leafType(), Version
	}
	return Encode(l)
}

// ParseLeafUnverified reads a leaf's bytes. Only its inclusion proof says that it is in a log. Errors are *SyntaxError.
func ParseLeafUnverified(line []byte) (Leaf, error) {
	for _, l := range []Leaf{new(Seen), new(Stored), new(Custody), new(Revoke), new(Export)} {
		if !bytes.Contains(line, []byte(`"type":"`+l.leafType()+`"`)) { // in a string its quotes are escaped
			continue
		}
		if err := Decode(line, l); err != nil {
			return nil, err
		}
		if h := leafHead(l); h != (leafHeader{l.leafType(), Version}) {
			return nil, syntaxf("leaf of type %q, version %d", h.Type, h.V)
		}
		return l, nil
	}
	if err := checkSyntax(line); err != nil {
		return nil, err
	}
	return nil, syntaxf("no leaf of a known type")
}

type leafHeader struct {
	Type string
	V    int
}

func leafHead(l Leaf) leafHeader {
	switch l := l.(type) {
	case *Seen:
		return leafHeader{l.Type, l.V}
	case *Stored:
		return leafHeader{l.Type, l.V}
	case *Custody:
		return leafHeader{l.Type, l.V}
	case *Revoke:
		return leafHeader{l.Type, l.V}
	case *Export:
		return leafHeader{l.Type, l.V}
	}
	return leafHeader{}
}

// CustodyEvent is one act upon a recording or a device: who did what, when. It lies in the vault; its digest is a leaf.
type CustodyEvent struct {
	Act    string      `json:"act"`    // such as device-registered, exported, quarantined
	Actor  string      `json:"actor"`  // who did it
	At     int64       `json:"at"`     // the server's clock, milliseconds since 1970 UTC
	Detail Detail      `json:"detail"` // what else there is to say
	Device *DeviceID   `json:"device"`
	Rec    RecordingID `json:"rec"` // zeros if it is about no recording
	Salt   Salt        `json:"salt"`
	Type   string      `json:"type"` // "custody-event"
	V      int         `json:"v"`
}

// Detail are named texts, ordered by name in their canonical form.
type Detail map[string]string
