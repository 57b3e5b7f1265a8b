// Package verify checks what devices and servers say: chains and seals, recordings, receipts, and whole bundles.
//
// It needs no network, no TPM and no server. Chain and Recording are the one way to check statements, used by a server
// when it takes them in and by Bundle alike; Bundle walks a bundle (a folder or a zip file) and reports.
package verify
