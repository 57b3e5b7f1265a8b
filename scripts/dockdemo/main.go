// Command dockdemo plays a docking station with emulated USB recorders: the second half of scripts/demo --dock, which builds the programs first. Its last
// two lines are the trust folder and a bundle.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"camseal/scripts/dockvm/image"
	"camseal/scripts/dockvm/station"
	"camseal/scripts/kiosk"
	"camseal/scripts/visitor"
)

func main() {
	dir := flag.String("dir", "", "folder for all state")
	programs := flag.String("programs", "", "folder with the camseal programs")
	once := flag.Bool("exit", false, "end when all is shown")
	step := flag.Int("step", 0, "number of the last step that was printed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{dir: *dir, programs: *programs, once: *once, step: *step, files: flag.Args()}
	err := d.play(ctx)
	if d.station != nil {
		err = errors.Join(err, d.station.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scripts/demo --dock:", err)
		stop()
		os.Exit(1)
	}
}

type demo struct {
	dir, programs string
	files         []string
	once          bool
	step          int
	station       *station.Station
	officer       *kiosk.Officer
}

const register = `departments: [Market Supervision Bureau, 市场监督管理局]
officers:
  - {name: Li Wei, certificate: "110041", valid_until: 2099-12-31, department: Market Supervision Bureau, number: "011314", card: "0004829913", pin: 48291735}
  - {name: Wang Fang, certificate: "110042", valid_until: 2020-01-31, department: Market Supervision Bureau, number: "011315", card: "0004829914", pin: 48291736}
causes: [unlicensed sale, food safety inspection]
places: [East Market, River Street]
activities: [on-site inspection]
`

// serials are the recorders' own, as their USB devices say them.
var serials = []string{"0012713", "0012714", "0012715"}

func (d *demo) next(format string, args ...any) {
	d.step++
	fmt.Printf("\n%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

// play is the whole story. Slot 1: Li Wei's recorder, two files that follow each other, with a spoken header; released on its permit. Slot 2: a recorder
// that is pulled out in the middle and put back in slot 4. Slot 3: a recorder one byte of which is changed after it was taken in.
func (d *demo) play(ctx context.Context) error {
	d.next("Making three recorders: USB storage with FAT32 and exFAT, real footage, headers spoken at its beginning (a speech synthesiser in the officer's place)")
	images, err := d.makeRecorders(ctx)
	if err != nil {
		return err
	}
	d.next("Booting the docking station: QEMU with Debian's kernel, a software TPM with its maker's certificate; starting the server on this machine")
	if d.station, err = station.Start(ctx, station.Config{Dir: d.dir, Programs: d.programs, Register: register, Log: os.Stdout,
		Agent: []string{"--chunk-size", "256KiB", "--lang", "en", "--speech-patience", "5m"}}); err != nil {
		return err
	}
	d.say("the dock's page: %s   the server's page: %s", d.station.Kiosk, d.station.Web)
	d.say("an officer signs in with the card 0004829913, or certificate 110041 and PIN 48291735")
	for _, act := range []func(context.Context, []string) error{d.dock, d.headers, d.erase, d.verify} {
		if err := act(ctx, images); err != nil {
			return err
		}
	}
	if !d.once {
		<-ctx.Done()
	}
	return nil
}

// until waits for a slot and says what it is then.
func (d *demo) until(ctx context.Context, slot, what string, holds func(station.Tile) bool) error {
	t, err := d.station.UntilTile(ctx, slot, what, holds)
	if err == nil {
		d.say("slot %s: %s; %d of %d files read, %d stored, %d released, %d kept (%s)", slot, what, t.Done, t.Files, t.Stored, t.Released, t.Kept, t.State)
	}
	return err
}

func (d *demo) dock(ctx context.Context, images []string) error {
	d.next("Docking all three at once. The second is pulled out in the middle of its copy, and put back in slot 4")
	vm := d.station.VM
	for i, img := range images {
		if err := vm.Plug(i+1, img, serials[i]); err != nil {
			return err
		}
	}
	if err := d.until(ctx, "2", "some of it is read", func(t station.Tile) bool { return t.Read > 0 && t.Read < t.Bytes }); err != nil {
		return err
	}
	if err := vm.Unplug(2); err != nil {
		return err
	}
	if err := d.until(ctx, "2", "pulled out", func(t station.Tile) bool { return t.State == "empty" }); err != nil {
		return err
	}
	if err := vm.Plug(4, images[1], serials[1]); err != nil {
		return err
	}
	for _, slot := range []string{"1", "3", "4"} {
		if err := d.until(ctx, slot, "copied and sealed, a header is needed", func(t station.Tile) bool { return t.State == "needs-header" }); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) headers(ctx context.Context, _ []string) (err error) {
	d.next("An officer signs in at the dock's page and confirms what was heard at the beginning of each recording")
	if d.officer, err = kiosk.New(d.station.Kiosk); err != nil {
		return err
	}
	if err := d.station.Until(ctx, "sign-in", func() (bool, error) { return d.officer.SignIn(ctx, "0004829913") }); err != nil {
		return err
	}
	for _, slot := range []string{"1", "3", "4"} {
		groups, err := d.officer.Groups(ctx, slot)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := d.confirm(ctx, slot, g); err != nil {
				return err
			}
		}
	}
	for _, slot := range []string{"1", "3", "4"} {
		if err := d.until(ctx, slot, "stored", func(t station.Tile) bool { return t.Headers == 0 && t.Stored == t.Files }); err != nil {
			return err
		}
	}
	return nil
}

// confirm confirms what was heard, and types what was not.
func (d *demo) confirm(ctx context.Context, slot, group string) error {
	var form url.Values
	heard := func() (ok bool, err error) {
		form, err = d.officer.Form(ctx, group)
		return form.Get("cause") != "", err
	}
	if err := d.station.Until(ctx, "the words of the header", heard); err != nil && ctx.Err() != nil || form == nil {
		return err // what was not understood by then is typed
	}
	var typed []string
	for name, value := range map[string]string{"department": "Market Supervision Bureau", "officer": "Li Wei", "certificate": "110041", "cause": "unlicensed sale",
		"time": "09:30", "place": "East Market"} {
		if strings.TrimSpace(form.Get(name)) == "" {
			form.Set(name, value)
			typed = append(typed, name)
		}
	}
	d.say("slot %s: %s, %s %s, %s, %s, %s; typed: %v", slot, form.Get("department"), form.Get("officer"), form.Get("certificate"), form.Get("cause"), form.Get("time"),
		form.Get("place"), typed)
	form.Set("spoken", "1")
	return errors.Join(d.officer.Confirm(ctx, group, form), d.officer.Note(ctx, group, "two boxes listed, party signed"))
}

func (d *demo) erase(ctx context.Context, images []string) error {
	d.next("The custodian switches erasing on permits on. Meanwhile one byte of the third recorder, which was pulled out, is changed; then it is docked again")
	vm := d.station.VM
	if err := vm.Unplug(3); err != nil {
		return err
	}
	if err := flip(images[2]); err != nil {
		return err
	}
	if err := errors.Join(d.station.StopBridge(ctx), d.station.StartBridge(ctx, true), vm.Plug(3, images[2], serials[2])); err != nil {
		return err
	}
	if err := d.until(ctx, "1", "released on its permits", func(t station.Tile) bool { return t.State == "released" }); err != nil {
		return err
	}
	return d.until(ctx, "3", "the changed file is kept", func(t station.Tile) bool { return t.Kept == 1 && t.Released == 0 })
}

func (d *demo) verify(ctx context.Context, _ []string) error {
	d.next("Exporting every recording's bundle, and verifying it as a stranger would: no network, no TPM, no server")
	list, err := d.station.Recordings(ctx)
	if err != nil {
		return err
	}
	if len(list) != 4 {
		return fmt.Errorf("%d recordings came of 4 files", len(list))
	}
	var last string
	for i, r := range list {
		bundle, said, err := d.station.Verify(ctx, r.Rec)
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		if i == 0 {
			fmt.Println(said)
		} else {
			first, _, _ := strings.Cut(said, "\n")
			d.say("%s: %s", r.Name, first)
		}
		last = bundle
	}
	accounts, err := d.accounts(ctx)
	if err != nil {
		return err
	}
	d.next("The recordings, their headers and a player: %s/   The dock: %s/", d.station.Web, d.station.Kiosk)
	for _, a := range accounts {
		d.say("%s", a)
	}
	if !d.once {
		d.say("It keeps running; Ctrl-C ends it.")
	}
	fmt.Printf("trust: %s\nbundle: %s\n", filepath.Join(d.dir, "trust"), last)
	return nil
}

// accounts makes an account of three roles for the server's page, and says how to sign in.
func (d *demo) accounts(ctx context.Context) (out []string, err error) {
	for _, role := range []string{"custodian", "reviewer", "administrator"} {
		link, err := d.station.RunServer(ctx, "account", "add", "--login", role, "--name", "Demo "+role, "--role", role, "--body", "Demo "+role+"'s body")
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, link)
		}
		v, err := visitor.New(d.station.Web)
		if err != nil {
			return nil, err
		}
		password := strings.ToLower(rand.Text()[:16])
		if err := v.UseLink(strings.TrimSpace(link), password); err != nil {
			return nil, err
		}
		out = append(out, "login: "+role+"  password: "+password)
	}
	return out, nil
}

// flip changes one byte in the middle of the recorder's footage, with size and time as they were.
func flip(img string) error {
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := os.ReadFile(img)
	if err != nil {
		return err
	}
	at := bytes.Index(raw, []byte("mdat"))
	if at < 0 {
		return errors.New("no footage is found on the recorder")
	}
	at += 100_000
	_, err = f.WriteAt([]byte{raw[at] ^ 1}, int64(at))
	return err
}

// makeRecorders makes the media. A FILE of the user's own is what the first recorder holds second.
func (d *demo) makeRecorders(ctx context.Context) (images []string, err error) {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	spoken := "This is officer Li Wei. Certificate number one one zero zero four one. Market Supervision Bureau. Unlicensed sale at East Market. Time nine thirty."
	first, err := d.film(ctx, "first.mp4", spoken, 2)
	if err != nil {
		return nil, err
	}
	long, err := d.film(ctx, "long.mp4", spoken, 6)
	if err != nil {
		return nil, err
	}
	second := "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"
	if len(d.files) > 0 {
		second = d.files[0]
	}
	at := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	file := func(name, from string, after time.Duration) image.Entry {
		return image.Entry{Name: name, From: from, Modified: at.Add(after)}
	}
	for i, v := range []image.Volume{
		{System: "vfat", Entries: []image.Entry{{Name: "DCIM", Dir: []image.Entry{file("NOR_0012713_011314_20261120093000_0001.MP4", first, 17*time.Second),
			file("NOR_0012713_011314_20261120093017_0002.MP4", second, 20*time.Second)}}}},
		{System: "exfat", Entries: []image.Entry{{Name: "DCIM", Dir: []image.Entry{file("IMP_0012714_011315_20261120093000_0001.MP4", long, 50*time.Second)}}}},
		{System: "vfat", Entries: []image.Entry{{Name: "DCIM", Dir: []image.Entry{file("NOR_0012715_011316_20261120093000_0001.MP4", first, 17*time.Second)}}}},
	} {
		v.Size = 128 << 20
		path := filepath.Join(d.dir, fmt.Sprintf("recorder%d.img", i+1))
		if err := image.Make(ctx, path, v); err != nil {
			return nil, err
		}
		d.say("recorder %d: %s, %s", i+1, v.System, v.Entries[0].Dir[0].Name)
		images = append(images, path)
	}
	return images, nil
}

// film makes footage: a real clip, as often as told, with the header spoken at its beginning.
func (d *demo) film(ctx context.Context, name, spoken string, times int) (path string, err error) {
	path, wav := filepath.Join(d.dir, name), filepath.Join(d.dir, "spoken.wav")
	for _, c := range [][]string{
		{"flite", "-voice", "slt", "-t", spoken, "-o", wav},
		{"ffmpeg", "-v", "error", "-y", "-stream_loop", fmt.Sprint(times - 1), "-i", "/usr/share/forensics-samples/original-files/movie2/movie-hello.mp4", "-i", wav,
			"-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "96k", path},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
	}
	return path, nil
}
