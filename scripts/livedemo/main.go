// Command livedemo plays a recorder on the network: the second half of scripts/demo --live, which starts TPM and server and enrols the
// recorder first. Its last two lines are the trust folder and a bundle.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"camseal/scripts/netns"
)

func main() {
	d := &demo{}
	flag.StringVar(&d.dir, "dir", "", "folder of the demonstration's state")
	flag.StringVar(&d.web, "web", "", "address of the server's page")
	flag.StringVar(&d.api, "api", "", "address of the server for agents")
	flag.StringVar(&d.namespace, "namespace", "", "network namespace of the recorder")
	flag.StringVar(&d.password, "password", "", "of the custodian")
	flag.IntVar(&d.step, "step", 0, "number of the last step that was printed")
	flag.DurationVar(&d.cut, "cut", 30*time.Second, "how long the network is cut")
	once := flag.Bool("exit", false, "end when all is shown")
	flag.Parse()
	d.file = flag.Arg(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := errors.Join(d.play(ctx, *once), d.close()); err != nil {
		fmt.Fprintln(os.Stderr, "scripts/demo --live:", err)
		stop()
		os.Exit(1)
	}
}

// demo is the story's state.
type demo struct {
	dir, web, api, namespace, password, file string
	step                                     int
	cut                                      time.Duration

	net      *netns.Namespace
	programs []*program
	recorder *recorder
	rec      string // the recording
	bundle   string
	page     *page
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) next(format string, args ...any) {
	d.step++
	fmt.Printf("\n%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

func (d *demo) play(ctx context.Context, once bool) error {
	d.net = &netns.Namespace{Name: d.namespace}
	for _, act := range []func(context.Context) error{d.begin, d.watch, d.outage, d.end, d.verify} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.say("The live picture as Chromium showed it: %s", d.path("live.png"))
	if !once {
		d.next("The recorder goes on: http://%s/live shows it (login: custodian  password: %s). Ctrl-C ends it.", d.web, d.password)
	}
	d.say("trust: %s", d.path("trust"))
	d.say("bundle: %s", d.bundle)
	if !once {
		<-ctx.Done()
	}
	return nil
}

// begin starts camera and agent in the recorder's own network, and a recording.
func (d *demo) begin(ctx context.Context) (err error) {
	d.next("Starting a recorder with a network of its own: its camera plays real footage by RTSP, and the agent on it takes that in")
	args := []string{"--listen", "127.0.0.1:8554", "--size", "640x360", "--bitrate", "1M"}
	if d.file != "" {
		args = append(args, "--file", d.file)
	}
	if _, err := d.start(ctx, "camera", args...); err != nil {
		return err
	}
	agent := []string{"run", "--state", d.path("agent"), "--tpm", "swtpm:" + d.path("tpm.sock"), "--log-key", d.path("server/log.vkey"), "--server", "https://" + d.api,
		"--ca", d.path("server/ca.pem"), "--recorder", "DEMO0001", "--station", "Demo recorder", "--camera", "rtsp://127.0.0.1:8554/stream", "--pre-event", "6s", "--speech", "none",
		"--header-max", "5s", "--link", "wifi", "--lang", "en"}
	if _, err := d.start(ctx, "camseal-agent", agent...); err != nil {
		return err
	}
	d.recorder = newRecorder(d.net)
	s, err := d.recorder.until(ctx, "a camera, and 4 s of it in the buffer", func(s state) bool { return s.Video != "" && s.Buffered >= 4 && s.Orders })
	if err != nil {
		return err
	}
	d.say("camera: %s %dx%d, sound %s; %.0f s are in the pre-event buffer, in memory only", s.Video, s.Width, s.Height, s.Audio, s.Buffered)
	if d.rec, err = d.recorder.post(ctx, "start"); err != nil {
		return err
	}
	s, err = d.recorder.until(ctx, "four segments", func(s state) bool { return s.Segments >= 4 })
	d.say("recording %s: %d segments so far, each hashed, chained and sealed by the TPM as it ended", d.rec, s.Segments)
	return err
}

// outage cuts the network while the recording goes on.
func (d *demo) outage(ctx context.Context) error {
	d.next("Cutting the recorder's network for %v; it goes on recording and sealing", d.cut)
	before, err := d.recorder.state(ctx)
	if err != nil {
		return err
	}
	if err := d.net.Cut(); err != nil {
		return err
	}
	end := time.NewTimer(d.cut)
	defer end.Stop()
	look := time.NewTicker(d.cut / 3)
	defer look.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			over = true
		case <-look.C:
			s, err := d.recorder.state(ctx)
			if err != nil {
				return err
			}
			d.say("cut off: %d segments since then, sealed here; %d wait for the server's receipt", s.Segments-before.Segments, s.Behind)
		}
	}
	d.next("The network is back")
	if err := d.net.Mend(); err != nil {
		return err
	}
	if _, err := d.recorder.until(ctx, "the server to be reached, and everything to be there", func(s state) bool { return s.Orders && s.Behind <= 6 }); err != nil {
		return err
	}
	d.say("what waited has its receipts; the picture comes back by itself")
	return d.page.playing(ctx, "again")
}

// end ends the recording and waits for its receipt.
func (d *demo) end(ctx context.Context) error {
	d.next("Ending the recording, and waiting for the receipt about the whole of it")
	if _, err := d.recorder.post(ctx, "stop"); err != nil {
		return err
	}
	return d.stored(ctx)
}
