package app

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"camseal/agent/internal/duty"
	"camseal/pkg/configfile"
)

// recorderSettings are the keys of agent.yaml for an agent that runs on a recorder.
type recorderSettings struct {
	Camera             string          `help:"Camera that run captures: rtsp://USER@HOST/PATH or rtsps://, or the path of a FIFO of fragmented MP4 or MPEG-TS. Empty: none." placeholder:"URL|PATH"`
	CameraPasswordFile string          `help:"File with the password for the camera's user." placeholder:"FILE"`
	CameraUDP          bool            `name:"camera-udp" help:"Have the camera send by UDP. Default: over the connection that asks for it."`
	PreEvent           time.Duration   `help:"Time before a start that is kept in memory, and becomes part of the recording. 0: none." default:"30s"`
	PreEventMax        configfile.Size `help:"Bytes of it at most." default:"32MiB"`
	Segment            time.Duration   `help:"Least length of a segment; it ends at the next keyframe." default:"2s"`
	CaptureLength      time.Duration   `help:"Length after which a recording is ended and gone on with in another one." default:"30m"`
	CaptureAlways      bool            `help:"Record whenever the agent runs and the camera is there."`
	CaptureResume      time.Duration   `help:"An agent that died while it recorded, and is back within this time, records again by itself. 0: never." default:"2m"`
	CaptureSchedule    []string        `sep:"none" help:"Times to record at, by the machine's time zone, such as 'Mon-Fri 08:00-18:00'." placeholder:"TIMES"`
	CaptureListen      string          `help:"Address of the page and the HTTP interface on the recorder; of this machine only. Empty: none." default:"127.0.0.1:8091" placeholder:"HOST:PORT"`
	HeaderMax          time.Duration   `help:"Longest spoken header." default:"60s"`
	KeyEvents          string          `help:"FIFO of lines (start, stop, toggle, mark, header-end; made if missing), or with a key-code /dev/input/event*." placeholder:"PATH"`
	KeyCode            int             `help:"Code of the key that begins a recording, finishes its header, ends it."`
	KeyMark            int             `help:"Code of the key that marks a moment."`
	KeyHeader          int             `help:"Code of the key that finishes the spoken header."`
	Live               bool            `help:"Send the picture live when somebody at the server wants to watch." default:"true" negatable:""`
	Indicator          string          `help:"File that holds 1 while somebody watches live, else 0, such as /sys/class/leds/NAME/brightness." placeholder:"FILE"`
	Position           string          `help:"Receiver of satellites: FIFO or device of NMEA 0183, or gpsd://HOST:PORT. Empty: none." placeholder:"PATH"`
	Link               string          `help:"Link to the server: wifi, mobile, dock, or auto:FILE with one of these words." default:"dock" placeholder:"LINK"`
	RateWifi           configfile.Size `help:"Bytes of footage a second over Wi-Fi; 0: any." default:"0"`
	RateMobile         configfile.Size `help:"The same over a mobile network." default:"0"`
	RateDock           configfile.Size `help:"The same at the dock." default:"0"`

	schedule duty.Schedule
}

// captures reports whether this agent has a camera.
func (s *recorderSettings) captures() bool { return s.Camera != "" }

func (s *recorderSettings) check() (err error) {
	if s.schedule, err = duty.ParseSchedule(s.CaptureSchedule); err != nil {
		return usagef("capture-%w", err)
	}
	if err := duty.CheckLink(s.Link); err != nil {
		return usagef("link: %w", err)
	}
	switch {
	case s.PreEvent < 0 || s.PreEvent > 10*time.Minute:
		return usagef("pre-event: %s is not between 0 and 10m", s.PreEvent)
	case s.PreEventMax < 1<<20 || s.PreEventMax > 1<<30:
		return usagef("pre-event-max: %d is not between 1MiB and 1GiB", s.PreEventMax)
	case s.Segment < 500*time.Millisecond || s.Segment > 30*time.Second:
		return usagef("segment: %s is not between 500ms and 30s", s.Segment)
	case s.CaptureLength < time.Minute || s.CaptureLength > 24*time.Hour:
		return usagef("capture-length: %s is not between 1m and 24h", s.CaptureLength)
	case s.CaptureResume < 0 || s.CaptureResume > time.Hour:
		return usagef("capture-resume: %s is not between 0 and 1h", s.CaptureResume)
	case s.HeaderMax <= 0 || s.HeaderMax > 10*time.Minute:
		return usagef("header-max: %s is not a time up to 10m", s.HeaderMax)
	case !s.captures() && (s.CaptureAlways || len(s.schedule) > 0 || s.KeyEvents != ""):
		return usagef("capture-always, capture-schedule and key-events: there is nothing to record; name the camera under camera")
	case s.KeyEvents == "" && (s.KeyCode != 0 || s.KeyMark != 0 || s.KeyHeader != 0):
		return usagef("key-code, key-mark and key-header: the device that has the keys is not named under key-events")
	case strings.HasPrefix(s.KeyEvents, "/dev/input/") && s.KeyCode == 0 && s.KeyMark == 0 && s.KeyHeader == 0:
		return usagef("key-events: give the key's code under key-code; evtest shows it")
	}
	if err := checkLocal(s.CaptureListen); err != nil {
		return usagef("capture-listen: %w", err)
	}
	_, _, err = s.camera()
	return err
}

// checkLocal refuses addresses that others can reach: whoever reaches the page can start and stop recordings.
func checkLocal(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address such as 127.0.0.1:8091", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q can be reached by others, and whoever reaches it can end recordings; use 127.0.0.1, and an SSH tunnel from afar", address)
	}
	return nil
}

// camera returns the camera's URL with its password, or the path of a pipe.
func (s *recorderSettings) camera() (address, path string, err error) {
	if !s.captures() || !strings.Contains(s.Camera, "://") {
		return "", s.Camera, nil
	}
	u, err := url.Parse(s.Camera)
	if err != nil || u.Scheme != "rtsp" && u.Scheme != "rtsps" || u.Host == "" {
		return "", "", usagef("camera: an address such as rtsp://user@192.168.0.10/stream is needed, or the path of a FIFO")
	}
	if _, secret := u.User.Password(); secret {
		return "", "", usagef("camera: the address holds a password; put it into a file of its own, and name that under camera-password-file")
	}
	if s.CameraPasswordFile == "" {
		return u.String(), "", nil
	}
	raw, err := os.ReadFile(s.CameraPasswordFile)
	if err != nil {
		return "", "", usagef("camera-password-file: %w", err)
	}
	if len(raw) > 1024 || u.User.Username() == "" {
		return "", "", usagef("camera-password-file: a password of at most 1024 bytes is needed, and a user in the camera's address")
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(raw), "\r\n"))
	return u.String(), "", nil
}

// rates are the limits of the links.
func (s *recorderSettings) rates() map[string]int64 {
	return map[string]int64{"wifi": int64(s.RateWifi), "mobile": int64(s.RateMobile), "dock": int64(s.RateDock)}
}
