package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/sandbox"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	maxLong, maxShort = 1920, 1080         // pixels of a derived copy
	maxCopy           = 5<<30 - 1          // bytes: what S3 takes in one piece
	maxRate, minRate  = 6_000_000, 300_000 // bits a second of its pictures
)

// ErrNoCopy says that there is nothing to make a derived copy of, or no need for one.
var ErrNoCopy = errors.New("no derived copy of this recording is needed or can be made")

// Derivable reports whether a copy that browsers can play is worth making.
func Derivable(m db.Medium) bool {
	return m.Playable == 0 && (m.Kind == Video || m.Kind == Sound)
}

// Copy is how far a recording's derived copy is.
type Copy string

// The states of a copy.
const (
	CopyNone   Copy = "none"   // nobody asked for one
	CopyQueued Copy = "queued" //
	CopyMaking Copy = "making"
	CopyMade   Copy = "made"
	CopyFailed Copy = "failed" // it is not tried again unless somebody asks
)

// State returns how far a recording's derived copy is, and its row.
func (m *Maker) State(ctx context.Context, r db.Recording) (Copy, db.Derived, error) {
	d, err := m.Catalog.Derived(ctx, r.Device, r.Rec)
	if errors.Is(err, catalog.ErrUnknown) {
		return CopyNone, d, nil
	}
	if err != nil {
		return "", d, err
	}
	row, err := m.Catalog.Media(ctx, r.Device, r.Rec)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return "", d, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case d.MadeIndex.Valid:
		return CopyMade, d, nil
	case m.busy[key{r.Device, r.Rec, true}]:
		return CopyMaking, d, nil
	case row.DeriveTries >= Tries:
		return CopyFailed, d, nil
	}
	return CopyQueued, d, nil
}

// Ask has a derived copy made, once: whoever asks after the first one changes nothing, unless it failed. The wish is a custody event.
// Errors: ErrNoCopy.
func (m *Maker) Ask(ctx context.Context, actor string, r db.Recording) error {
	device, rec, err := ids(r)
	if err != nil {
		return err
	}
	if row, err := m.Catalog.Media(ctx, r.Device, r.Rec); r.StoredClosed == 0 || err != nil || !Derivable(row) {
		if err != nil && !errors.Is(err, catalog.ErrUnknown) {
			return err
		}
		return ErrNoCopy
	}
	m.asking.Lock()
	defer m.asking.Unlock()
	state, _, err := m.State(ctx, r)
	if err != nil {
		return err
	}
	switch state {
	case CopyNone:
		timed, done := context.WithTimeout(ctx, askingWait)
		defer done()
		_, err = m.Book.Record(timed, casework.Act{Name: catalog.ActDerivedAsked, Actor: actor, Device: &device, Rec: rec})
	case CopyFailed:
		err = m.Catalog.PutDeriveTry(ctx, db.Medium{Device: r.Device, Rec: r.Rec})
		m.wake()
	}
	return err
}

// derive makes the copy and puts it into the vault. The try is written down before it begins.
func (m *Maker) derive(ctx context.Context, r db.Recording) error {
	row, err := m.Catalog.Media(ctx, r.Device, r.Rec)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	if d, err := m.Catalog.Derived(ctx, r.Device, r.Rec); err != nil || d.MadeIndex.Valid {
		return err
	}
	before := row.DeriveTries
	row.Device, row.Rec = r.Device, r.Rec
	row.DeriveTries, row.DeriveFailure, row.DeriveDetail, row.DeriveNext = before+1, FailureInterrupted, "", m.retry(before+1).Int64
	if err := m.Catalog.PutDeriveTry(ctx, row); err != nil {
		return err
	}
	begin := m.Now()
	err = m.deriveOnce(ctx, r)
	if ctx.Err() != nil {
		row.DeriveTries, row.DeriveNext = before, 0
		return m.Catalog.PutDeriveTry(context.WithoutCancel(ctx), row)
	}
	var counts bool
	row.DeriveFailure, row.DeriveDetail, counts = m.failed(ctx, r, err)
	row.DeriveNext = m.retry(row.DeriveTries).Int64
	if !counts {
		row.DeriveTries, row.DeriveNext = before, m.Now().Add(later).UnixMilli()
	}
	if err == nil {
		m.Slog.InfoContext(ctx, "derived copy made", slog.String("rec", r.Rec), slog.Duration("took", m.Now().Sub(begin)))
	}
	return m.Catalog.PutDeriveTry(ctx, row)
}

func (m *Maker) deriveOnce(ctx context.Context, r db.Recording) error {
	f, err := m.original(ctx, r)
	if err != nil {
		return err
	}
	defer f.Close()
	facts, err := Probe(ctx, f)
	if err != nil {
		return fmt.Errorf("look into it: %w", err)
	}
	free, err := m.free()
	if err != nil {
		return err
	}
	w, out, err := m.temporary()
	if err != nil {
		return err
	}
	defer out.Close()
	defer w.Close()
	settings := settings(facts)
	if err := transcode(ctx, f, w, facts, settings, min(free, maxCopy)); err != nil {
		return fmt.Errorf("make a derived copy: %w", err)
	}
	if made, err := Probe(ctx, out); err != nil || !made.Playable || made.Kind != facts.Kind {
		return errors.Join(err, fmt.Errorf("the copy is %s, %s, %s: %w", made.Container, made.Video, made.Audio, errNoPicture))
	}
	return m.deposit(ctx, r, out, facts, settings)
}

// settings are ffmpeg's for a copy: H.264 and AAC, as large as the original up to 1080p, its index in front.
func settings(f Facts) []string {
	var out []string
	if f.Kind == Video {
		w, h := fit(f.Width, f.Height)
		rate := strconv.Itoa(rateOf(f.Duration))
		out = []string{"-map", "0:V:0", "-vf", fmt.Sprintf("scale=%d:%d,setsar=1,format=yuv420p", w, h), "-fps_mode", "vfr",
			"-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-maxrate", rate, "-bufsize", rate, "-profile:v", "high"}
	}
	if f.Audio != "" {
		out = append(out, "-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", "-ac", "2")
	}
	return append(out, "-metadata", "title=derived copy (衍生副本)", "-movflags", "+faststart", "-f", "mp4")
}

// rateOf is how many bits a second pictures may take, so that long footage fits into maxCopy too.
func rateOf(d time.Duration) int {
	return min(max(int(float64(maxCopy)*7/max(d.Seconds(), 1)), minRate), maxRate)
}

// fit is the greatest even size within the bounds that keeps the shape and makes nothing larger.
func fit(w, h int) (int, int) {
	long, short := max(w, h), min(w, h)
	scale := min(1, maxLong/float64(max(long, 1)), maxShort/float64(max(short, 1)))
	return even(int(float64(w)*scale + 0.5)), even(int(float64(h)*scale + 0.5))
}

// transcode writes a copy of f to w.
func transcode(ctx context.Context, f, w *os.File, facts Facts, settings []string, limit int64) error {
	if facts.Kind != Video && facts.Kind != Sound {
		return errNoPicture
	}
	box := sandbox.Box{Time: min(10*time.Minute+30*facts.Duration, 24*time.Hour), Memory: memory, Output: limit, Nice: nice}
	args := slices.Concat([]string{"-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-max_error_rate", "1", "-threads", "1"}, input, []string{"-map_metadata", "-1", "-sn", "-dn", "-threads", "2"},
		settings, []string{"file:" + sandbox.OutPath})
	return box.Run(ctx, sandbox.Command{Name: "ffmpeg", Args: args, In: f, Out: w, ToPath: true}, func(io.Reader) error { return nil })
}

// deposit puts a copy into the vault, locked as long as the original, and says so in the log.
func (m *Maker) deposit(ctx context.Context, r db.Recording, out *os.File, facts Facts, settings []string) error {
	device, rec, err := ids(r)
	if err != nil {
		return err
	}
	h := sha256.New()
	size, err := io.Copy(h, out)
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	tool, err := Tool(ctx)
	if err != nil {
		return err
	}
	newest, err := m.Catalog.Recording(ctx, device, rec) // its lock may have been lengthened meanwhile
	if err != nil {
		return err
	}
	hash := evidence.Digest(h.Sum(nil))
	o := archive.Object{Key: archive.DerivedKey(device, rec, hash), Size: size, Hash: hash, Until: time.UnixMilli(newest.StoredUntil)}
	if _, err := m.Vault.Put(ctx, o, out); err != nil {
		return err
	}
	mediaType := "video/mp4"
	if facts.Kind == Sound {
		mediaType = "audio/mp4"
	}
	_, err = m.Book.Record(ctx, casework.Act{Name: catalog.ActDerivedMade, Actor: Actor, Device: &device, Rec: rec, Detail: evidence.Detail{
		catalog.DetailHash: hash.String(), catalog.DetailSize: strconv.FormatInt(size, 10), catalog.DetailMediaType: mediaType,
		catalog.DetailTool: tool, catalog.DetailSettings: strings.Join(settings, " "), catalog.DetailFrom: r.Hash}})
	return err
}

// Tool names the ffmpeg that runs in the sandbox, with its version. Its error says why none does.
func Tool(ctx context.Context) (string, error) {
	for _, name := range []string{"ffprobe", "ffmpeg"} {
		var said bytes.Buffer
		err := sandbox.Box{Memory: memory}.Run(ctx, sandbox.Command{Name: name, Args: []string{"-hide_banner", "-version"}}, func(r io.Reader) error {
			_, err := said.ReadFrom(r)
			return err
		})
		if err != nil {
			return "", err
		}
		if line, _, _ := strings.Cut(said.String(), "\n"); name == "ffmpeg" {
			line, _, _ = strings.Cut(line, " Copyright")
			return strings.TrimSpace(line), nil
		}
	}
	return "", errors.ErrUnsupported
}

// unfit reports whether not ffmpeg but what it runs in ended a run.
func unfit(f *sandbox.Failed) bool {
	for _, begin := range []string{"bwrap:", "prlimit:", "nice:"} {
		if strings.HasPrefix(f.Said, begin) {
			return true
		}
	}
	return false
}

// Check has the vault read a derived copy back and compares it with what was made, once in the life of this server. Errors: *archive.WrongBytes,
// archive.ErrNotFound.
func (m *Maker) Check(ctx context.Context, d db.Derived) error {
	m.mu.Lock()
	known := m.checked[d.Hash]
	m.mu.Unlock()
	if known {
		return nil
	}
	ref, err := copyRef(d)
	if err != nil {
		return err
	}
	held, err := m.Vault.Stat(ctx, ref)
	if err == nil && (held.Hash != ref.Hash || held.Size != ref.Size) {
		err = &archive.WrongBytes{Key: ref.Key, Want: ref.Hash, Got: held.Hash, WantSize: ref.Size, GotSize: held.Size}
	}
	if err == nil {
		m.mu.Lock()
		m.checked[d.Hash] = true
		m.mu.Unlock()
	}
	return err
}

// Copy writes the bytes of a derived copy from from to before until.
func (m *Maker) Copy(ctx context.Context, w io.Writer, d db.Derived, from, until int64) error {
	ref, err := copyRef(d)
	if err != nil {
		return err
	}
	r, err := m.Vault.Open(ctx, ref, from)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyN(w, r, until-from)
	return err
}

func copyRef(d db.Derived) (archive.Ref, error) {
	device, rec, err := ids(db.Recording{Device: d.Device, Rec: d.Rec})
	if err != nil {
		return archive.Ref{}, err
	}
	hash, err := evidence.ParseDigest(d.Hash)
	return archive.Ref{Key: archive.DerivedKey(device, rec, hash), Hash: hash, Size: d.Size}, err
}
