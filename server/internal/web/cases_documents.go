package web

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/casefile"
)

// shownDocuments are the types that browsers show; anything else is only taken away.
var shownDocuments = map[string]bool{"application/pdf": true, "image/jpeg": true, "image/png": true}

const (
	maxDocumentField = casefile.MaxField + 1        // bytes of a field beside the document; one more is refused by the rules
	maxUpload        = casefile.MaxDocument + 1<<20 // bytes of the form
)

// documentPage asks for a document.
type documentPage struct {
	caseView
	Inputs  []input
	File    *casefile.File
	NoFile  string // what is wrong with the file, in words
	Again   bool   // nothing was saved, and the file has to be chosen again
	Refused string // why no document may be added
}

func (s *site) documentPage(c *gin.Context, status int, f *casefile.File, typed map[string]string, wrong map[string]string) {
	fr := s.frame(c, "document-new")
	p := documentPage{caseView: caseView{Frame: fr, File: f}, File: f, NoFile: wrong["file"], Again: len(wrong) > 0}
	p.Refused, _ = fr.refusal(f.MayEdit(s.me(c)))
	p.Inputs = []input{
		{Name: "kind", Label: "document-kind", Kind: inputChoice, Options: fr.choices("document-", casefile.DocumentKinds), Required: true},
		{Name: "signature", Label: "document-signature", Hint: "document-signature-hint", Kind: inputChoice, Required: true,
			Options: fr.choices("signature-", []string{casefile.Signed, casefile.RefusedToSign, casefile.NotNeeded})},
		{Name: "refusal", Label: "document-refusal", Hint: "document-refusal-hint", Kind: inputText, Rows: 2},
	}
	for i, x := range p.Inputs {
		p.Inputs[i].Value, p.Inputs[i].Error = typed[x.Name], wrong[x.Name]
	}
	if p.Refused != "" {
		status = http.StatusConflict
	}
	s.page(c, status, "case-document.html", p)
}

func (s *site) newDocument(c *gin.Context) {
	if f, ok := s.theCase(c); ok {
		s.documentPage(c, http.StatusOK, f, nil, nil)
	}
}

// addDocument streams a document into the vault. Its description comes ahead of its bytes.
func (s *site) addDocument(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxUpload)
	said := map[string]string{}
	err := s.upload(c, f, said)
	if err == nil {
		c.Redirect(http.StatusSeeOther, "/cases/"+string(f.ID)+"#documents")
		return
	}
	// What is left is read, so that the answer is: a browser shows none while it still sends.
	if _, drained := io.Copy(io.Discard, c.Request.Body); drained != nil {
		err = errors.Join(err, drained)
	}
	fr := s.frame(c, "document-new")
	if why, refused := fr.refusal(err); refused {
		s.documentPage(c, http.StatusUnprocessableEntity, f, said, map[string]string{blamed(err): why})
		return
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.documentPage(c, http.StatusRequestEntityTooLarge, f, said, map[string]string{"file": fr.T("rule-document-large")})
	case errors.Is(err, errForm):
		s.sorry(c, http.StatusBadRequest, "form-unread")
	default:
		s.caseFail(c, err)
	}
}

var errForm = errors.New("not a form with a file")

// blamed is the field that a refusal is about.
func blamed(err error) string {
	var r *casefile.Refused
	if errors.As(err, &r) {
		switch r.Key {
		case "rule-signature":
			return "signature"
		case "rule-refusal", "rule-too-long":
			return "refusal"
		case "rule-value":
			return "kind"
		}
	}
	return "file"
}

// upload reads the parts of the form in order, and hands the file on as it comes.
func (s *site) upload(c *gin.Context, f *casefile.File, said map[string]string) error {
	parts, err := c.Request.MultipartReader()
	if err != nil {
		return errors.Join(errForm, err)
	}
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return &casefile.Refused{Key: "document-none"}
		}
		if err != nil {
			return errors.Join(errForm, err)
		}
		if p.FormName() == "file" {
			return s.take(c, f, said, p)
		}
		raw, err := io.ReadAll(io.LimitReader(p, maxDocumentField))
		if err != nil {
			return errors.Join(errForm, err)
		}
		said[p.FormName()] = typed(string(raw))
		if len(said) > 8 {
			return errForm
		}
	}
}

func (s *site) take(c *gin.Context, f *casefile.File, said map[string]string, p *multipart.Part) error {
	if p.FileName() == "" {
		return &casefile.Refused{Key: "document-none"}
	}
	if !slices.Contains(casefile.DocumentKinds, said["kind"]) {
		return &casefile.Refused{Key: "rule-value"}
	}
	doc := casefile.Document{Name: typed(p.FileName()), Kind: said["kind"], Signature: said["signature"]}
	if doc.Signature == casefile.RefusedToSign {
		doc.Refusal = said["refusal"]
	}
	_, err := s.Cases.AddDocument(c.Request.Context(), s.me(c), f.ID, doc, p)
	return err
}

// document shows a document, or lets it be taken away if browsers don't show its type.
func (s *site) document(c *gin.Context) {
	hash, err := evidence.ParseDigest(c.Param("hash"))
	if err != nil || !caseID.MatchString(c.Param("id")) {
		s.sorry(c, http.StatusNotFound, "no-case")
		return
	}
	doc, r, err := s.Cases.OpenDocument(c.Request.Context(), s.me(c), casefile.ID(c.Param("id")), hash)
	var refused *casefile.Refused
	if errors.As(err, &refused) {
		s.sorry(c, http.StatusNotFound, refused.Key)
		return
	}
	if err != nil {
		s.caseFail(c, err)
		return
	}
	defer r.Close()
	h := c.Writer.Header()
	kind, disposition := "application/octet-stream", "attachment"
	if shownDocuments[doc.MediaType] {
		kind, disposition = doc.MediaType, "inline"
	}
	h.Set("Content-Security-Policy", originalPolicy)
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": doc.Name}))
	h.Set("Cache-Control", "private, no-cache")
	etag := `"` + doc.Hash.String() + `"`
	h.Set("ETag", etag)
	if c.GetHeader("If-None-Match") == etag {
		c.Status(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.FormatInt(doc.Size, 10))
	c.Status(http.StatusOK)
	if c.Request.Method != http.MethodHead {
		s.stream(c, doc.Hash.String(), func(w io.Writer) error {
			_, err := io.Copy(w, r)
			return err
		})
	}
}
