package auth

// Permission is one thing that a role may do. Every route of the web page names one.
type Permission string

// The permissions.
const (
	Anybody  Permission = "anybody"   // nobody need have signed in
	SignedIn Permission = "signed-in" // every account

	SeeRecordings Permission = "see-recordings" // search, watch, see the proofs
	Mark          Permission = "mark"           // an important moment, with a text
	Export        Permission = "export"         // take a bundle away
	Derive        Permission = "derive"         // have a playable copy made

	SeeCases   Permission = "see-cases"
	EditCases  Permission = "edit-cases"  // open, describe, add documents, self-check
	LinkCases  Permission = "link-cases"  // tie recordings to a case
	Submit     Permission = "submit"      // to legal review, and again after mending
	Opine      Permission = "opine"       // give the review body's opinion
	Determine  Permission = "determine"   // where there is no agreement
	Decide     Permission = "decide"      // write down the decision
	Hold       Permission = "hold"        // set and lift a hold on disposal
	Retain     Permission = "retain"      // choose a retention class, lengthen terms
	Dispose    Permission = "dispose"     // propose and confirm a disposal: two persons
	SeeFleet   Permission = "see-fleet"   // devices and docks
	SeePeople  Permission = "see-people"  // accounts
	EditPeople Permission = "edit-people" // make, change, disable accounts
	Calendar   Permission = "calendar"    // holidays of coming years

	WatchLive  Permission = "watch-live"  // see recorders on duty and their live pictures
	Command    Permission = "command"     // have a recorder on duty do something
	LiveGuests Permission = "live-guests" // give out tokens for players and cameras that are not ours

	LiveToken Permission = "live-token" // no role has it: the request itself brings a token
)

// grant is a row of the table.
type grant struct {
	Permission Permission
	Roles      []Role
}

// table is the one place that says who may do what. deploy/handbook/permissions.md is drawn from it.
var table = []grant{
	{SeeRecordings, []Role{Officer, Custodian, Reviewer, Leader, Supervisor}},
	{Mark, []Role{Officer, Custodian, Reviewer}},
	{Export, []Role{Custodian}},
	{Derive, []Role{Officer, Custodian, Reviewer}},
	{SeeCases, []Role{Officer, Custodian, Reviewer, Leader, Supervisor}},
	{EditCases, []Role{Officer, Custodian}},
	{LinkCases, []Role{Officer, Custodian, Reviewer}},
	{Submit, []Role{Officer, Custodian}},
	{Opine, []Role{Reviewer}},
	{Determine, []Role{Leader}},
	{Decide, []Role{Officer, Custodian}},
	{Hold, []Role{Custodian}},
	{Retain, []Role{Custodian}},
	{Dispose, []Role{Custodian}},
	{SeeFleet, []Role{Custodian, Supervisor, Administrator}},
	{SeePeople, []Role{Supervisor, Administrator}},
	{EditPeople, []Role{Administrator}},
	{Calendar, []Role{Administrator}},
	{WatchLive, []Role{Custodian, Leader, Supervisor}},
	{Command, []Role{Custodian}},
	{LiveGuests, []Role{Custodian, Administrator}},
}

// Allowed returns the roles that have a permission; nil if it is none of the table's.
func Allowed(p Permission) []Role {
	for _, g := range table {
		if g.Permission == p {
			return g.Roles
		}
	}
	return nil
}

// OwnRecordingsOnly reports whether the role sees only recordings whose header names its certificate.
func (a Account) OwnRecordingsOnly() bool { return a.Role == Officer }

// OwnBodyOnly reports whether the role sees only the cases that its own body handles, and (a leader) only recordings of its own body or of
// these cases.
func (a Account) OwnBodyOnly() bool { return a.Role == Officer || a.Role == Leader }

// Purpose is what somebody looks at a recording for (R10). It goes into the custody event.
type Purpose string

// The purposes. The first two need not be asked: an officer's own recording, and a case that the person handles or reviews.
const (
	PurposeOwn         Purpose = "own"          // one's own recording
	PurposeCase        Purpose = "case"         // handling a case
	PurposeReview      Purpose = "legal-review" // 法制审核
	PurposeCustody     Purpose = "custody"      // keeping the evidence
	PurposeAppraisal   Purpose = "appraisal"    // 案卷评查
	PurposeSupervision Purpose = "supervision"  // 执法监督
	PurposePublicity   Purpose = "publicity"    // 法治宣传
	PurposePerformance Purpose = "performance"  // 绩效考核
	PurposeConcern     Purpose = "concern"      // 回应社会关切
	PurposeDecision    Purpose = "decision"     // 行政决策参考
	PurposeDuty        Purpose = "duty"         // 值班值守: of live pictures only
)

// Purposes are those that somebody may choose.
var Purposes = []Purpose{PurposeCase, PurposeReview, PurposeCustody, PurposeAppraisal, PurposeSupervision, PurposePublicity, PurposePerformance, PurposeConcern, PurposeDecision}

// LivePurposes are those for which somebody may watch live.
var LivePurposes = []Purpose{PurposeDuty, PurposeCase, PurposeCustody, PurposeSupervision}
