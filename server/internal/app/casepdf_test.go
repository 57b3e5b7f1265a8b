package app

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// A PDF opens in the browser's own viewer, under a policy that lets it do nothing.
func TestADocumentInABrowser(t *testing.T) {
	r, _, rec := rigWithRecording(t)
	k := r.by(keeper)
	path := k.opened(rec)
	one := "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n4 0 obj<</Length 44>>stream\nBT /F1 24 Tf 40 100 Td (Record no. 17) Tj ET\nendstream endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
	k.adds(path+"/documents/new", "one.pdf", map[string]string{"kind": "other", "signature": "not-needed"}, strings.NewReader(one), 303)
	docs := regexp.MustCompile(path+`/documents/[0-9a-f]{64}`).FindAllString(k.sees(path, 200), -1)
	ctx := browse(t)
	address := r.page + docs[len(docs)-1]
	var kind string
	check(t, chromedp.Run(ctx, k.cookies(), chromedp.Navigate(address+"#page=1"), chromedp.Evaluate(`document.contentType`, &kind)))
	if kind != "application/pdf" {
		t.Errorf("it is %s to the browser", kind)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for shown := false; !shown; <-tick.C { // the viewer is a page of its own, and the document one within that
		targets, err := chromedp.Targets(ctx)
		check(t, err)
		shown = slices.ContainsFunc(targets, func(x *target.Info) bool { return x.Type == "iframe" && strings.HasPrefix(x.URL, address) })
	}
	if shots := os.Getenv("CAMSEAL_SHOTS"); shots != "" {
		var picture []byte
		check(t, chromedp.Run(ctx, chromedp.CaptureScreenshot(&picture)))
		check(t, os.WriteFile(shots+"/pdf.png", picture, 0o600))
	}
}
