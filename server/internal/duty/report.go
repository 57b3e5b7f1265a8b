package duty

import (
	"slices"
	"strings"

	"camseal/pkg/transport"
	"camseal/pkg/verify"
)

// Bounds of what a report may say; more is cut off.
const (
	maxName   = 128 // bytes
	maxCodec  = 16
	maxNumber = 1 << 52 // of a command: what goes on from a greater one could not be written
	maxPixels = 1 << 16
	maxCount  = 1 << 40
	poles     = 90_000_000 // millionths of a degree
)

var links = []string{"wifi", "mobile", "dock"}

// tidy bounds a report and makes it fit to be shown. Errors: *transport.Error.
func tidy(r *transport.Report) error {
	if r.Known > maxNumber || len(r.Results) > transport.MaxCommands {
		return &transport.Error{Status: 400, Code: transport.CodeBadRequest, Message: "a report may know commands up to number 2^52, and have 32 results",
			Kept: "nothing of this request was taken in", Do: "see the device's log; the same request will be refused again"}
	}
	r.Station, r.Trouble = cut(r.Station, maxName), cut(r.Trouble, maxText)
	r.Video, r.Audio = cut(r.Video, maxCodec), cut(r.Audio, maxCodec)
	if !slices.Contains(links, r.Link) {
		r.Link = ""
	}
	r.Width, r.Height = clamp(r.Width, maxPixels), clamp(r.Height, maxPixels)
	r.Behind, r.Watched = clamp(r.Behind, maxCount), clamp(r.Watched, maxCount)
	if p := r.Position; p != nil {
		signs := func(s string) bool { return s == "+" || s == "-" }
		if p.Lat.Value > poles || p.Lon.Value > 2*poles || !signs(p.Lat.Sign) || !signs(p.Lon.Sign) {
			r.Position = nil
		}
	}
	for i := range r.Results {
		r.Results[i].Text = cut(r.Results[i].Text, maxText)
	}
	return nil
}

func clamp(n, most int) int { return min(max(n, 0), most) }

// cut makes a text fit to be shown: one line of at most n bytes.
func cut(s string, n int) string {
	s = verify.Display(strings.Join(strings.Fields(s), " "))
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
