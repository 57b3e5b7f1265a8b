package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

type recoverCmd struct {
	Identity string `help:"File with the offline recovery key (an age identity). Without it the TPM is asked." placeholder:"FILE"`
	Out      string `short:"o" required:"" help:"Folder to write to; made if missing." placeholder:"DIR"`
}

// Run writes out what a spool holds that the server has not stored, and what it put into quarantine.
func (c *recoverCmd) Run(ctx context.Context, set *settings, con *console) (err error) {
	if _, err := os.Stat(set.path("spool")); err != nil {
		return usagef("no spool in %s: %w; give the right --state", set.State, err)
	}
	key := func() ([]byte, error) { return unwrapKey(set, c.Identity) }
	if c.Identity == "" {
		path, err := set.tpm()
		if err != nil {
			return err
		}
		tpm, err := openTPM(ctx, set, path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tpm.Close()) }()
		key = func() ([]byte, error) { return spoolKey(ctx, set, tpm) }
	}
	sp, _, err := openSpool(ctx, set, newLog(con.err, set.LogLevel), key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	return writeHeld(ctx, sp, c.Out, con)
}

// writeHeld writes each recording that is held, and what is in quarantine, and says what it wrote.
func writeHeld(ctx context.Context, sp *spool.Spool, out string, con *console) error {
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	parts := false
	var failed error
	err := sp.Pending(ctx, func(r spool.Recording) bool {
		var lack []string
		if lack, failed = writeRecording(sp, out, r); failed != nil {
			return false
		}
		state := "whole"
		if len(lack) > 0 {
			parts = true
			state = "PART: without " + strings.Join(lack, ", ")
		}
		_, failed = fmt.Fprintf(con.out, "%s  %s  %s\n", r.ID, printable(string(r.Source.RawPath())), state)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("recover: %w; what was written stays in %s", err, out)
	}
	n, err := sp.WriteQuarantine(filepath.Join(out, "quarantine"))
	if err != nil {
		return err
	}
	if n > 0 {
		fmt.Fprintf(con.out, "%d files of the quarantine\n", n)
	}
	if parts {
		return errSilent
	}
	return nil
}

// writeRecording writes the chunks that are held of a recording, each where it belongs in the file, and returns what it lacks.
func writeRecording(sp *spool.Spool, out string, r spool.Recording) (lack []string, err error) {
	f, err := os.OpenFile(filepath.Join(out, safeName(r)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	whole := sha256.New()
	var offset uint64
	err = sp.Chunks(r.ID, 0, func(c spool.Chunk) bool {
		switch errChunk := writeChunk(sp, io.NewOffsetWriter(f, int64(offset)), whole, r.ID, c); {
		case errors.Is(errChunk, spool.ErrNotFound):
			lack = append(lack, fmt.Sprintf("chunk %d (gone: stored by the server, or lost)", c.Index))
		case errors.Is(errChunk, spool.ErrDamaged):
			lack = append(lack, fmt.Sprintf("chunk %d (%v)", c.Index, errChunk))
		case errChunk != nil:
			err = errChunk
		}
		offset += c.Size
		return err == nil
	})
	switch {
	case err != nil || len(lack) > 0:
	case !r.Closed:
		lack = append(lack, "its end, which was not read yet")
	case evidence.Digest(whole.Sum(nil)) != r.Hash:
		lack = append(lack, "a sound SHA-256")
	}
	return lack, err
}

func writeChunk(sp *spool.Spool, w io.Writer, whole hash.Hash, id evidence.RecordingID, c spool.Chunk) error {
	in, _, err := sp.OpenChunk(id, c.Index)
	if err != nil {
		return err
	}
	defer in.Close()
	part := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, part, whole), in); err != nil {
		return err
	}
	if evidence.Digest(part.Sum(nil)) != c.Hash {
		return fmt.Errorf("%w: its SHA-256 is another", spool.ErrDamaged)
	}
	return nil
}

// safeName is the recording's id and as much of its file's name as every system can have.
func safeName(r spool.Recording) string {
	name := strings.Map(func(c rune) rune {
		if c < ' ' || strings.ContainsRune(`/\:*?"<>|`, c) || c == '\uFFFD' {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(string(r.Source.RawName()), "_"))
	for len(name) > 120 {
		name = name[1:]
	}
	return r.ID.String() + "-" + strings.ToValidUTF8(name, "")
}
