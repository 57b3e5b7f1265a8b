// Package vendors knows how recorders of many makers lay out their storage, and how to talk to those that can be talked to.
//
// What a maker's recorder looks like is data: a profile, one YAML file (see Table). A profile only adds what names and side-car files
// say; it never decides whether a file is taken in, so a profile that is wrong, or lies, costs words and no footage.
//
// A recorder with a control interface is a Recorder. The makers' own wire formats are not public; this package speaks a small framed
// protocol of its own (see frame.go), which a maker's firmware or an adapter in front of it can speak. A maker's library is put behind the same
// interface.
package vendors
