package auth

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const handbook = "../../../deploy/handbook/permissions.md"

// words say what a permission lets do.
var words = map[Permission]string{
	SeeRecordings: "search, watch, see the proofs", Mark: "mark important moments", Export: "take a bundle away", Derive: "have a playable copy made",
	SeeCases: "see cases", EditCases: "open and describe cases, add documents, self-check", LinkCases: "tie recordings to cases",
	Submit: "submit to legal review, and again after mending", Opine: "give the review body's opinion", Determine: "determine where there is no agreement",
	Decide: "write down the decision", Hold: "set and lift a hold on disposal", Retain: "choose a retention class, lengthen terms",
	Dispose: "propose and confirm a disposal (two persons)", SeeFleet: "see devices and docks", SeePeople: "see accounts",
	EditPeople: "make, change, disable accounts", Calendar: "holidays of coming years",
	WatchLive: "see recorders on duty, watch them live", Command: "start and stop recorders on duty, mark, have a part sent first",
	LiveGuests: "give out live tokens (for players: custodians only)",
}

// drawn is the handbook's page.
func drawn() []byte {
	var b bytes.Buffer
	b.WriteString(`# Who may do what

Drawn from the table in ` + "`server/internal/auth/permissions.go`" + `; ` + "`CAMSEAL_WRITE=1 go test ./server/internal/auth`" + ` writes it anew. Every address of the
page names one of these permissions, and nobody gets to an address without it: whoever is not signed in is sent to sign in, everybody else is told.

An officer sees only recordings whose header names the officer's certificate, and only cases of the own body. A leader in charge sees only recordings
of the own body, by the header's department, or of its cases, and watches live only recorders that make such a recording now. Everything else is to them as if it were not there. Looking at a recording is asked for
a purpose, once in a session, but for one's own; every look is a custody event. So it is with watching live: once in a session for all recorders, and
both the beginning and the end of watching one are custody events.

`)
	b.WriteString("| |")
	for _, r := range Roles {
		fmt.Fprintf(&b, " %s |", r)
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(Roles)) + "\n")
	for _, g := range table {
		fmt.Fprintf(&b, "| `%s`: %s |", g.Permission, words[g.Permission])
		for _, r := range Roles {
			if slices.Contains(g.Roles, r) {
				b.WriteString(" ✓ |")
			} else {
				b.WriteString("  |")
			}
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// The handbook shows the table that is in force.
func TestHandbookShowsTheTable(t *testing.T) {
	for _, g := range table {
		if words[g.Permission] == "" {
			t.Errorf("no words for %s", g.Permission)
		}
	}
	want := drawn()
	if os.Getenv("CAMSEAL_WRITE") != "" {
		if err := os.WriteFile(handbook, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(handbook)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not the table; CAMSEAL_WRITE=1 go test writes it anew", handbook)
	}
}

// What the design says of roles holds, whoever edits the table.
func TestRolesKeepTheirNature(t *testing.T) {
	changes := []Permission{Mark, Export, Derive, EditCases, LinkCases, Submit, Opine, Determine, Decide, Hold, Retain, Dispose, EditPeople, Calendar, Command, LiveGuests}
	footage := []Permission{SeeRecordings, Mark, Export, Derive, SeeCases, EditCases, LinkCases, Submit, Opine, Determine, Decide, Hold, Retain, Dispose, WatchLive, Command}
	for _, p := range changes {
		if (Account{ID: "x", Role: Supervisor}).May(p) {
			t.Errorf("a supervisor may %s", p)
		}
	}
	for _, p := range footage {
		if (Account{ID: "x", Role: Administrator}).May(p) {
			t.Errorf("an administrator may %s", p)
		}
	}
	for _, p := range []Permission{Submit, EditCases, Decide, Determine} {
		if (Account{ID: "x", Role: Reviewer}).May(p) {
			t.Errorf("a reviewer may %s: handler and reviewer are different bodies", p)
		}
	}
	for _, r := range append(slices.Clone(Roles), "") {
		if (Account{ID: "x", Role: r}).May(LiveToken) {
			t.Errorf("%s gets in without a token", r)
		}
	}
	for _, g := range table {
		for _, a := range []Account{{}, {Role: Custodian}, {ID: "x", Role: Custodian, Disabled: true}, {ID: "x", Role: "king"}} {
			if a.May(g.Permission) {
				t.Errorf("%+v may %s", a, g.Permission)
			}
		}
	}
	if (Account{ID: "x", Role: Custodian}).May("no such permission") || !(Account{}).May(Anybody) {
		t.Error("default deny")
	}
}
