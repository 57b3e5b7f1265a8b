// Package dock is the docking station: it follows the bridges, takes in what recorders hold, slot by slot and important files first,
// groups recordings into sequences, keeps the case headers, notes and marks that officers give, and has recorders released on permits.
//
// Where to look: dock.go follows the bridges, docking.go is the way of one recorder's volume, groups.go what officers say,
// erase.go the release, tiles.go what the kiosk shows.
package dock
