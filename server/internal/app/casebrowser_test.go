package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

const axeFile = "../../../.tools/axe.min.js"

// newPage waits until the page that was marked as old is gone and the next one is there.
func newPage(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var there bool
		if err := chromedp.Evaluate(`document.readyState == 'complete' && !document.documentElement.dataset.old`, &there).Do(ctx); err == nil && there {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// refusal is what the browser says of pages that refuse something: some of those that are looked at do.
var refusal = regexp.MustCompile(`server responded with a status of (401|404|409|422|503)`)

// browse opens a browser. What it complains of fails the test.
func browse(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900)}
	timed, stop := context.WithTimeout(context.Background(), 4*time.Minute)
	allocated, release := chromedp.NewExecAllocator(timed, append(options, flags...)...)
	ctx, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeTab()
		release()
		stop()
	})
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && !refusal.MatchString(e.Entry.Text) && (e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity) {
			t.Errorf("the browser complains: %s %s", e.Entry.Text, e.Entry.URL)
		}
	})
	check(t, chromedp.Run(ctx, network.Enable(), log.Enable()))
	return ctx
}

// Pages of cases, review and home: no violation that axe finds, nothing wider than the window, in both languages, light and dark, at 1280 and at 820.
func TestCasePagesInABrowser(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatalf("axe-core is needed: %v; scripts/test fetches it", err)
	}
	shots := os.Getenv("CAMSEAL_SHOTS")
	r, _, rec := rigWithRecording(t)
	r.setRegister(officersFile)
	pages := casesToLookAt(r, rec)
	ctx := browse(t)
	for i, x := range pages {
		for j, width := range []int64{1280, 820} {
			lang, scheme := []string{"en", "zh-CN"}[(i+j)%2], []string{"light", "dark"}[(i/2+j)%2]
			looksRight(t, ctx, r, x, width, lang, scheme, string(axe), shots)
		}
	}
}

type lookedAt struct {
	name, path string
	me         auth.Account
	before     chromedp.Action // on the page
}

// casesToLookAt makes cases in many states, and returns pages with the people who look at them.
func casesToLookAt(r *rig, rec evidence.RecordingID) []lookedAt {
	k, rv, ld := r.by(keeper), r.by(reviewer), r.by(leader)
	k.sends("/cases/new", url.Values{"title": {"Unlicensed sale at the night market 夜市无照经营"}}, 303)
	lacking := k.sends("/cases/new", url.Values{"title": {"强制拆除违法建设"}, "activity": {casefile.Property}, "number": {"2026-0118"}, "officers": {"李伟，A1\n赵雷，Z9"}, "day": {"2026-05-01"}}, 303)
	inReview := k.opened(rec)
	k.sends(inReview+"/submit", url.Values{}, 303)
	returned := k.opened(rec)
	k.adds(returned+"/documents/new", "清单 list.png", map[string]string{"kind": "property-list", "signature": casefile.RefusedToSign, "refusal": "当事人离场，见证人王某。"}, strings.NewReader("not a picture"), 303)
	k.sends(returned+"/submit", url.Values{}, 303)
	rv.sends(returned+"/review", with(opinion("no", "facts"), "rec.facts", rec.String(), "at.facts", "03:12", "step", "confirmed"), 303)
	k.sends(returned+"/edit", url.Values{"self-check": {"程序合法，证据充分。\n补充询问笔录一份。"}, "base.self-check": {"1"}}, 303)
	k.sends(returned+"/hold", url.Values{"text": {"行政复议 reconsideration"}}, 303)
	escalated := k.opened(rec)
	k.sends(escalated+"/submit", url.Values{}, 303)
	rv.sends(escalated+"/review", with(opinion("no", "law"), "step", "confirmed"), 303)
	k.sends(escalated+"/submit", url.Values{"text": {"依据已补充"}}, 303)
	rv.sends(escalated+"/review", with(opinion("no", "law"), "step", "confirmed"), 303)
	k.sends(escalated+"/escalate", url.Values{"text": {"坚持原意见"}, "step": {"confirmed"}}, 303)
	decided := k.opened(rec)
	k.sends(decided+"/submit", url.Values{}, 303)
	rv.sends(decided+"/review", with(opinion("yes", ""), "step", "confirmed"), 303)
	k.sends(decided+"/decide", url.Values{"text": {"罚款 500 元，文号〔2026〕17 号"}, "step": {"confirmed"}}, 303)
	submitWrong := chromedp.Evaluate(`document.querySelectorAll('[required]').forEach(e => e.required = false); document.querySelector('form.form button:not(.skip):not([name])').click()`, nil)
	return []lookedAt{
		{"home-keeper", "/", k.me, nil}, {"home-reviewer", "/", rv.me, nil}, {"home-leader", "/", ld.me, nil}, {"home-admin", "/", administer, nil},
		{"cases", "/cases", k.me, nil}, {"cases-none", "/cases?q=nothing", k.me, nil}, {"new", "/cases/new", k.me, nil},
		{"lacking", lacking, k.me, nil}, {"lacking-submit", lacking + "/submit", k.me, nil}, {"in-review", inReview, rv.me, nil}, {"returned", returned, k.me, nil},
		{"escalated", escalated, ld.me, nil}, {"determine", escalated + "/determine", ld.me, nil}, {"determine-wrong", escalated + "/determine", ld.me, submitWrong}, {"decided", decided, supervisor, nil},
		{"edit", returned + "/edit", k.me, nil}, {"resubmit", returned + "/submit", k.me, nil}, {"document", returned + "/documents/new", k.me, nil},
		{"review", inReview + "/review", rv.me, nil}, {"review-wrong", inReview + "/review", rv.me, submitWrong},
		{"review-rows", inReview + "/review", rv.me, chromedp.Evaluate(`document.querySelector('#item-facts details').open = true; document.querySelector('#item-facts button').click()`, nil)},
		{"unlink", returned + "/unlink?rec=" + rec.String(), k.me, nil}, {"hold", returned + "/hold", k.me, nil}, {"lift", returned + "/lift", k.me, nil},
		{"choose", "/recordings/" + rec.String() + "/case", k.me, nil}, {"recording", "/recordings/" + rec.String(), k.me, nil}, {"calendar", "/calendar", administer, nil}, {"unknown", "/cases/x", k.me, nil},
	}
}

func looksRight(t *testing.T, ctx context.Context, r *rig, x lookedAt, width int64, lang, scheme, axe, shots string) {
	t.Helper()
	where := fmt.Sprintf("%s-%s-%s-%d", x.name, lang, scheme, width)
	sep := "?"
	if strings.Contains(x.path, "?") {
		sep = "&"
	}
	var wide bool
	var found, title string
	var picture []byte
	steps := []chromedp.Action{r.by(x.me).cookies(),
		emulation.SetDeviceMetricsOverride(width, 900, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.Navigate(r.page + x.path + sep + "lang=" + lang)}
	if x.before != nil {
		steps = append(steps, chromedp.Evaluate(`document.documentElement.dataset.old = 1`, nil), x.before,
			chromedp.ActionFunc(func(ctx context.Context) error { return newPage(ctx) }))
	}
	steps = append(steps,
		chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide),
		chromedp.Evaluate(`document.title`, &title),
		chromedp.Evaluate(axe+`; axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary).slice(0, 3)}))))`, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if shots != "" {
		steps = append(steps, chromedp.FullScreenshot(&picture, 100))
	}
	if err := chromedp.Run(ctx, steps...); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if wide {
		t.Errorf("%s is wider than the window", where)
	}
	var violations []any
	if err := json.Unmarshal([]byte(found), &violations); err != nil || len(violations) > 0 || title == "" {
		t.Errorf("%s: %v, %q\n%s", where, err, title, found)
	}
	if shots != "" {
		check(t, os.WriteFile(filepath.Join(shots, where+".png"), picture, 0o600))
	}
}
