package verify

// Readmes are the texts of README.txt, for the test that old ones still count.
var Readmes = &readmes
