package verify

// Code names a kind of problem. It is stable and meant for programs.
type Code string

// Unreadable.
const (
	CodeNotABundle Code = "not-a-bundle"
	CodeIO         Code = "cannot-read"
	CodeRefused    Code = "refused"
)

// Broken.
const (
	CodeUnexpected    Code = "unexpected-file"
	CodeMissingFile   Code = "missing-file"
	CodeTooLarge      Code = "file-too-large"
	CodeManifestForm  Code = "manifest-form"
	CodeNotListed     Code = "not-listed"
	CodeListedMissing Code = "listed-but-missing"
	CodeWrongHash     Code = "differs-from-manifest"
	CodeFixedContent  Code = "wrong-content" // a file that follows from the others differs
	CodeDevice        Code = "device-key"    // enrol's key cannot be used
	CodeChain         Code = "chain-broken"  // a line does not go on from the one before
	CodeForeign       Code = "foreign"       // a whole statement about another recording
	CodeRule          Code = "rule-broken"   // a statement does not fit the recording
	CodeNoRecording   Code = "no-recording"
	CodeSeal          Code = "seal-broken"
	CodeUnsealed      Code = "unsealed"
	CodeChunk         Code = "chunk-changed"
	CodeShort         Code = "original-short"
	CodeLong          Code = "original-long"
	CodeWholeHash     Code = "original-hash"
	CodeReceipt       Code = "receipt-broken"
	CodeReceiptOrder  Code = "receipts-contradict"
	CodeAnchor        Code = "anchor-broken"
	CodeStamp         Code = "time-stamp-broken"
	CodeEK            Code = "ek-broken"
	CodeRevoked       Code = "device-revoked"
	CodeCustodyLine   Code = "custody-broken"
	CodeExport        Code = "export-broken"
	CodeUnknownLog    Code = "unknown-log"
	CodeOtherKey      Code = "log-key-differs"
	CodeLogRange      Code = "log-out-of-range"
)

// Incomplete.
const (
	CodeOrder          Code = "order-unproven"
	CodeCounterGap     Code = "counter-gap"     // counter values that never arrived
	CodeNoCount        Code = "no-count-record" // of a counted statement
	CodeNoSeen         Code = "no-seen-receipt"
	CodeNoStored       Code = "no-stored-receipt"
	CodePartlyStored   Code = "partly-stored"
	CodeAbsent         Code = "chunk-absent"
	CodeNotClosed      Code = "not-closed"
	CodeClosedEarly    Code = "closed-early"
	CodeHole           Code = "footage-missing"   // of a captured recording: nothing was recorded for a while
	CodeUnread         Code = "medium-unreadable" // the recorder's medium; zeros stand in the exhibit
	CodeSizeDiffers    Code = "source-size-differs"
	CodeCustodyNoProof Code = "custody-unproven"
	CodeCustodyGone    Code = "custody-missing"
	CodeNoExport       Code = "no-export-receipt"
	CodeFootage        Code = "footage-not-read" // by Proofs
)

// Broken, in a log.
const (
	CodeNoLog      Code = "not-a-log" // unreadable
	CodeCheckpoint Code = "checkpoint-broken"
	CodeTile       Code = "tile-differs"
	CodeEntries    Code = "entries-broken"
	CodeRoot       Code = "root-differs"
	CodeLeafForm   Code = "leaf-form"
	CodeTwoHeads   Code = "two-heads"
	CodeSeenBack   Code = "seen-goes-back"
	CodeStoredBack Code = "stored-goes-back"
)
