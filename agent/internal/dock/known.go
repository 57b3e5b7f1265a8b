package dock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
)

// elsewhere asks the server which of these files another dock of it has stored, and returns for each what to say of it; "" if it is to be read.
// A server that is away, or whose word does not hold, keeps no file from being read.
func (d *Dock) elsewhere(ctx context.Context, g handoff.Docking, files []handoff.File) []string {
	out := make([]string, len(files))
	if g.Serial == "" || d.Server == nil || d.Online != nil && !d.Online() {
		return out
	}
	req := transport.KnownRequest{}
	for _, f := range files {
		req.Files = append(req.Files, transport.KnownFile{Serial: g.Serial, Volume: g.Volume, Path: f.Path, Size: f.Size, Modified: uint64(max(0, f.Modified))})
	}
	answer, err := d.Server.Known(ctx, req)
	if err != nil {
		d.Logger.DebugContext(ctx, "the server can't be asked which files it knows; they are read", slog.Any("error", err))
		return out
	}
	for _, k := range answer.Known {
		if k.Index < 0 || k.Index >= len(files) {
			continue
		}
		text, err := checkKnown(k, req.Files[k.Index], d.Log)
		if err != nil {
			d.Logger.WarnContext(ctx, "the server says that it has a file, and does not prove it; the file is read", slog.Any("error", err))
			continue
		}
		out[k.Index] = text
	}
	return out
}

// checkKnown checks the proof that a file is stored whole.
func checkKnown(k transport.Known, f transport.KnownFile, log note.Verifier) (text string, err error) {
	receipt, err := spool.VerifyStored(k.Receipt.Tlog(), log)
	if err != nil {
		return "", err
	}
	leaf := receipt.Leaf()
	open, openDigest, err1 := evidence.ParseUnverified(k.Open)
	end, endDigest, err2 := evidence.ParseUnverified(k.Close)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	o, ok1 := open.Body.(*evidence.Open)
	c, ok2 := end.Body.(*evidence.Close)
	switch {
	case !ok1 || !ok2:
		return "", errors.New("these are no open and close statements")
	case openDigest != leaf.Open || leaf.Close == nil || endDigest != *leaf.Close || len(leaf.Absent) > 0 || c.Why != evidence.WhyComplete:
		return "", errors.New("the receipt is not about the whole of it")
	case o.Source.Serial != f.Serial || o.Source.Volume != f.Volume || !bytes.Equal(o.Source.RawPath(), f.Path) || o.Source.Size != f.Size || o.Source.Modified != f.Modified || c.Size != f.Size:
		return "", errors.New("it is another file")
	}
	return fmt.Sprintf("it is stored already: another dock took it in as recording %s", leaf.Rec), nil
}
