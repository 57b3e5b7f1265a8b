package web

import (
	"fmt"

	"camseal/pkg/evidence"
	"camseal/server/internal/casefile"
)

// fillEvents writes down what was done with the case, the newest first.
func (s *site) fillEvents(v *caseView, all bool) {
	names := map[evidence.RecordingID]string{}
	for _, list := range [][]linkView{v.Links, v.Gone} {
		for _, l := range list {
			names[l.Rec] = l.Row.Label(v.Frame)
		}
	}
	papers := map[string]string{}
	for _, d := range v.File.Documents {
		papers[d.Hash.String()] = d.Name
	}
	for i := len(v.File.Events) - 1; i >= 0; i-- {
		if len(v.Events) == shownEvents && !all {
			v.More = i + 1
			return
		}
		e := v.File.Events[i]
		v.Events = append(v.Events, eventView{e, v.known("act-", e.Act), aboutEvent(v.Frame, e, names, papers)})
	}
}

// aboutEvent says in a few words what an event was about; the whole of it stands elsewhere on the page.
func aboutEvent(fr Frame, e casefile.Event, names map[evidence.RecordingID]string, papers map[string]string) (out []string) {
	d := e.Detail
	switch e.Act {
	case casefile.ActSet:
		out = append(out, fr.known("case-", d[casefile.DetailField]))
	case casefile.ActLinked, casefile.ActUnlinked:
		name := names[e.Rec]
		if name == "" {
			name = e.Rec.String()
		}
		out = append(out, name)
	case casefile.ActDocument:
		out = append(out, d[casefile.DetailName])
	case casefile.ActWithdrawn:
		out = append(out, papers[d[casefile.DetailDocument]])
	case casefile.ActOpinion:
		out = append(out, fr.T("opinion-"+agreed(d[casefile.DetailAgree] == "yes")))
	case casefile.ActDetermined:
		out = append(out, fr.T("determine-"+d[casefile.DetailGo]))
	}
	return out
}

func agreed(yes bool) string {
	if yes {
		return "agree"
	}
	return "problems"
}

// LeftText says in words how long a review has left.
func (f Frame) LeftText(k clock) string {
	switch {
	case k.Overdue:
		return fmt.Sprintf(f.T("case-overdue"), k.Left)
	case k.Today:
		return f.T("case-last-day")
	case k.Left == 1:
		return f.T("case-left-one")
	}
	return fmt.Sprintf(f.T("case-left"), k.Left)
}
