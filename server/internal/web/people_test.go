package web

import (
	"camseal/server/internal/auth"
)

// usedPeople are the texts that no template names by itself.
func usedPeople() []string {
	used := []string{"people", "bad-link", "no-account", "not-allowed", "signed-out", "purpose-first", "choose-purpose", "not-twice",
		"provider-away", "provider-failed", "provider-nobody"}
	for _, r := range auth.Roles {
		used = append(used, "role-"+string(r), "role-"+string(r)+"-says")
	}
	for _, p := range auth.Purposes {
		used = append(used, "purpose-"+string(p))
	}
	for err := range mistakes {
		used = append(used, err.Error())
	}
	return used
}
