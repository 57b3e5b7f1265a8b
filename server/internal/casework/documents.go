package casework

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

// unknownType is what a document is that is none of those that pages show.
const unknownType = "application/octet-stream"

// AddDocument streams a document into the vault. doc gives Name, Kind, Signature and Refusal; the rest is found out. The same document twice is
// one; its name, kind and signature stay as they were said first, and saying others is refused. Errors of the vault wrap archive.ErrFull and the like.
func (c *Cases) AddDocument(ctx context.Context, by auth.Account, id casefile.ID, doc casefile.Document, r io.Reader) (casefile.Document, error) {
	f, err := c.File(ctx, by, id)
	if err != nil {
		return casefile.Document{}, err
	}
	if err := f.MayEdit(by); err != nil {
		return casefile.Document{}, err
	}
	doc.Name, doc.Refusal, doc.Size = tidy(doc.Name), tidy(doc.Refusal), 1
	if err := casefile.CheckDocument(doc); err != nil {
		return casefile.Document{}, err
	}
	temp, err := os.CreateTemp(c.TempDir, "document-*")
	if err != nil {
		return casefile.Document{}, fmt.Errorf("add document: %w", full(err))
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if err := receive(temp, r, &doc); err != nil {
		return casefile.Document{}, err
	}
	if there, ok := f.Document(doc.Hash); ok && there.Name == doc.Name && there.Kind == doc.Kind && there.Signature == doc.Signature && there.Refusal == doc.Refusal {
		return there, nil
	}
	_, err = c.Book.Vault.Put(ctx, archive.Object{Key: archive.DocumentKey(string(id), doc.Hash), Size: doc.Size, Hash: doc.Hash, Until: c.Book.Until()}, temp)
	if err != nil {
		return casefile.Document{}, fmt.Errorf("add document: %w", err)
	}
	err = c.act(ctx, by, id, casefile.ActDocument, evidence.Detail{casefile.DetailDocument: doc.Hash.String(), casefile.DetailSize: strconv.FormatInt(doc.Size, 10),
		casefile.DetailName: doc.Name, casefile.DetailMediaType: doc.MediaType, casefile.DetailKind: doc.Kind,
		casefile.DetailSignature: doc.Signature, casefile.DetailRefusal: doc.Refusal}, nil, evidence.RecordingID{})
	if err != nil {
		return casefile.Document{}, err
	}
	if f, err = c.File(ctx, by, id); err != nil {
		return casefile.Document{}, err
	}
	kept, _ := f.Document(doc.Hash)
	return kept, nil
}

// receive writes r into temp, finds out what it is, and leaves temp at its begin.
func receive(temp *os.File, r io.Reader, doc *casefile.Document) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(temp, h), io.LimitReader(r, casefile.MaxDocument+1))
	if err != nil {
		return fmt.Errorf("receive document: %w", full(err))
	}
	doc.Size, doc.Hash = n, evidence.Digest(h.Sum(nil))
	if err := casefile.CheckDocument(*doc); err != nil {
		return err
	}
	if doc.MediaType, err = typeOf(temp); err != nil {
		return fmt.Errorf("receive document: %w", err)
	}
	_, err = temp.Seek(0, io.SeekStart)
	return err
}

// full says that no space is left here as the vault says it.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", archive.ErrFull, err)
	}
	return err
}

// maxPicture is how many pixels a picture may have and still be called one.
const maxPicture = 200e6

// typeOf says what a file is by its own bytes, whatever its name says. What is not clearly a PDF or a picture is kept, and called unknown.
func typeOf(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	r := bufio.NewReader(f)
	head, err := r.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	is := http.DetectContentType(head)
	switch is {
	case "application/pdf":
		return is, nil
	case "image/jpeg":
		if p, err := jpeg.DecodeConfig(r); err == nil && p.Width*p.Height <= maxPicture {
			return is, nil
		}
	case "image/png":
		if p, err := png.DecodeConfig(r); err == nil && p.Width*p.Height <= maxPicture {
			return is, nil
		}
	}
	return unknownType, nil
}

// NameLies reports whether a document's name promises another kind of file than its bytes are.
func NameLies(d casefile.Document) bool {
	name := strings.ToLower(d.Name)
	for _, t := range []struct{ end, is string }{{".pdf", "application/pdf"}, {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"}, {".png", "image/png"}} {
		if strings.HasSuffix(name, t.end) {
			return d.MediaType != t.is
		}
	}
	return false
}

// WithdrawDocument takes a document out of the case. Its bytes stay in the vault, and it stays in the list, with the reason.
func (c *Cases) WithdrawDocument(ctx context.Context, by auth.Account, id casefile.ID, doc evidence.Digest, reason string) error {
	return c.say(ctx, by, id, casefile.ActWithdrawn, reason, evidence.Detail{casefile.DetailDocument: doc.String()})
}

// OpenDocument returns a document's bytes, one that was withdrawn too. The last of them comes only after all were found to be those that were added;
// otherwise reading ends in *archive.WrongBytes. The caller closes the reader. Errors: catalog.ErrUnknown; archive.ErrNotFound if the vault has lost it.
func (c *Cases) OpenDocument(ctx context.Context, by auth.Account, id casefile.ID, doc evidence.Digest) (casefile.Document, io.ReadCloser, error) {
	f, err := c.File(ctx, by, id)
	if err != nil {
		return casefile.Document{}, nil, err
	}
	for i := len(f.Documents) - 1; i >= 0; i-- {
		d := f.Documents[i]
		if d.Hash != doc {
			continue
		}
		key := archive.DocumentKey(string(id), doc)
		r, err := c.Book.Vault.Open(ctx, archive.Ref{Key: key, Hash: doc, Size: d.Size}, 0)
		if err != nil {
			return d, nil, fmt.Errorf("open document: %w", err)
		}
		return d, checked{archive.NewChecked(ctx, archive.Object{Key: key, Hash: doc, Size: d.Size}, r), r}, nil
	}
	return casefile.Document{}, nil, &casefile.Refused{Key: "rule-no-document"}
}

type checked struct {
	io.Reader
	io.Closer
}
