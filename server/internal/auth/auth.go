// Package auth says who people are and what they may do: accounts, roles and the one table of permissions.
package auth

import "slices"

// Role is what somebody does here. An account has one.
type Role string

// The roles.
const (
	Officer       Role = "officer"       // 执法人员: own recordings, own cases
	Custodian     Role = "custodian"     // 证据管理员: answers for the chain of custody
	Reviewer      Role = "reviewer"      // 法制审核人员: of a review body, never of the handling body of a case under review
	Leader        Role = "leader"        // 分管负责人 of a handling body: determines where handler and reviewer do not agree
	Supervisor    Role = "supervisor"    // 监督人员: sees all, changes nothing
	Administrator Role = "administrator" // 系统管理员: people and devices, no footage
)

// Roles are all roles, in the order in which pages show them.
var Roles = []Role{Officer, Custodian, Reviewer, Leader, Supervisor, Administrator}

// Account is a person who may sign in.
type Account struct {
	ID          string // 32 hexadecimal digits, random, for ever
	Login       string // what is typed; unique
	Name        string // as it is shown and as custody events call the person
	Role        Role
	Body        string // the body that the person belongs to, as the register's departments are called
	Certificate string // the officer's, as headers and the register have it; empty: none
	Language    string // "en" or "zh-CN"; empty: the browser's
	Disabled    bool
}

// Actor is how custody events name the account.
func (a Account) Actor() string { return a.Name + " (" + a.Login + ", " + string(a.Role) + ")" }

// May reports whether the account's role has a permission. What it may be used on (own recordings, own body's cases) is for Scope to say.
func (a Account) May(p Permission) bool {
	if p == Anybody {
		return true
	}
	if a.Disabled || a.ID == "" {
		return false
	}
	return p == SignedIn || slices.Contains(Allowed(p), a.Role)
}
