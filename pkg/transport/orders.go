package transport

import (
	"time"

	"camseal/pkg/evidence"
)

// Limits of what recorders on duty and the server say to each other.
const (
	MaxReport   = 64 << 10         // bytes of a Report
	OrdersWait  = 25 * time.Second // how long POST /v1/orders waits for something to say
	MaxCommands = 32               // commands in one answer
)

// HeaderRecodes stands in what the WHIP endpoint answers, OPTIONS too, where the server codes anew what WebRTC can't carry: B-frames and AAC.
const HeaderRecodes = "Camseal-Recodes"

// Report is what a recorder on duty says of itself: POST /v1/orders. The answer, Orders, comes as soon as there is something new to say, or
// after OrdersWait; then the recorder reports again, at once. A recorder whose state changes drops the request under way and reports anew.
type Report struct {
	Station   string                `json:"station"`             // name, for people
	Recording *evidence.RecordingID `json:"recording,omitempty"` // what is being captured now
	Since     int64                 `json:"since,omitempty"`     // ms since 1970, by the recorder's clock: when that began
	Video     string                `json:"video"`               // codec of the camera's pictures, such as h264; empty: no camera
	Audio     string                `json:"audio"`               // of its sound, such as pcma; empty: none
	Width     int                   `json:"width,omitempty"`     // pixels
	Height    int                   `json:"height,omitempty"`
	BFrames   bool                  `json:"b_frames,omitempty"` // pictures are coded out of their order: WebRTC can't carry them
	Link      string                `json:"link"`               // wifi, mobile or dock
	Behind    int                   `json:"behind"`             // chunks that wait to be sent
	Trouble   string                `json:"trouble,omitempty"`  // what is wrong, in words
	Position  *Position             `json:"position,omitempty"`
	Known     uint64                `json:"known"`   // number of the newest command that came here; commands up to it are not sent again
	Watched   int                   `json:"watched"` // how many watchers it shows to be
	Results   []Result              `json:"results,omitempty"`
}

// Position is where a recorder is: millionths of a degree, and when that was measured (ms since 1970).
type Position struct {
	Lat evidence.Signed `json:"lat"`
	Lon evidence.Signed `json:"lon"`
	At  int64           `json:"at"`
}

// Orders answer a Report.
type Orders struct {
	Commands []Command `json:"commands"`
	Watched  int       `json:"watched"` // people who watch live now: the recorder shows it
}

// CommandKind says what a recorder is to do.
type CommandKind string

// The commands.
const (
	CommandStart   CommandKind = "start"    // begin a recording
	CommandStop    CommandKind = "stop"     // end it
	CommandMark    CommandKind = "mark"     // an important moment, with Text
	CommandLive    CommandKind = "live"     // publish live, by WHIP at /v1/live/whip
	CommandLiveEnd CommandKind = "live-end" // stop that
	CommandChunk   CommandKind = "chunk"    // send chunk Index of Rec ahead of all others
)

// Command is one thing that somebody at the server wants a recorder to do. Both ends log it.
type Command struct {
	Number uint64                `json:"number"` // 1, 2 … for each device; the server counts on from the greatest that the device knows
	Kind   CommandKind           `json:"kind"`
	By     string                `json:"by"`    // who wants it, for people
	Until  int64                 `json:"until"` // ms since 1970, by the server's clock: not to be begun after this
	Rec    *evidence.RecordingID `json:"rec,omitempty"`
	Index  uint64                `json:"index,omitempty"`
	Text   string                `json:"text,omitempty"`
}

// Result is what became of a command. It is said until the server answers a report that held it.
type Result struct {
	Number uint64                `json:"number"`
	Done   bool                  `json:"done"`
	Text   string                `json:"text,omitempty"` // why not, or what came of it
	Rec    *evidence.RecordingID `json:"rec,omitempty"`  // that it was about
}
