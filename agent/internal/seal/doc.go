// Package seal has the one sealer of a device: it extends the chain's head into the TPM's chain PCR, has the TPM quote it,
// and stores the seal. Sealing is group commit: while the TPM works on one seal, statements go on being appended, and the next
// seal covers them all. Appending never waits for the TPM.
//
// # The order of writing
//
//	statements durable → Intent durable → TPM2_PCR_Extend → TPM2_Quote → seal durable, intent gone
//
// A crash between any two of these leaves an intent. The next start compares it with what the TPM says:
//
//   - same reset and restart count, PCR = Before: the extend never happened; extend, quote, store.
//   - same counts, PCR = extend(Before, Head): quote again, store.
//   - anything else: the seal can't be made any more. Its head is named in the next boot statement.
//
// Every start appends a boot statement with the counts and PCR values found after that. The same happens while running whenever
// a quote shows other counts, or a chain PCR that is not extend(the value before, head): that quote is dropped, and a boot statement
// that names its head is appended. Class software has no PCR: it signs the head, and a seal that was not stored is made again.
//
// # What a verifier may demand of two neighbouring seals A and B
//
// No boot statement in (A.upto, B.upto]: the same reset and restart count, a clock that does not go back (two quotes
// can fall into one millisecond), the same chain PCR index, and PCR(B) = extend(PCR(A), B.head).
//
// With boot statements there: B's counts and chain PCR index are those of the last one, PCR(B) = extend(its chain PCR
// value, B.head), and counts never go down from A over the boots to B, compared as (reset, restart).
//
// One exception: a seal may not cover more than evidence.MaxSealedStatements, so after an outage of the TPM that a reset ended, the backlog
// can be too long for one seal together with the boot statement, which stands behind it. Then seals of the new epoch come before
// its boot. So: no boot in between, counts that grew, and B covers at least evidence.MaxSealedStatements/4 statements or more than
// evidence.MaxSealedBytes - evidence.MaxLine bytes: PCR(B) = extend(zeros, B.head) or
// extend(PCR(A), B.head), which shows the same as a boot that found this would; any other value is the finding below. The boot follows when the backlog is sealed.
//
// A boot's chain PCR value is explained by what stands before it (A, or the boot before it) when it equals the value there,
// or zeros if the counts changed, or the extension of one of these two by heads that the boot's intents name, in their order, all of
// them own heads of this chain at a seq before the boot. A value that is not explained is no broken chain. It is the finding "order
// not proven by the TPM between A and B". The first boot of a chain has nothing before it and needs no explanation.
//
// # Counting
//
// In a device with a TPM counter, enrol, boot, intake, and open in capture mode are counted statements. Intake and open name the counter's next
// value and are said through Sealer.Counted, one at a time; a boot names the value found. After the seal that covers such a statement the
// sealer goes on:
//
//	seal durable → (intake, open) TPM2_NV_Increment → TPM2_NV_Certify → count record durable
//
// What lacks its record is kept by the store beside the newest value that the chain names (Counts). After a crash the counter reads that value, and
// certifying is left to do; or one less while an intake or open is owed, and it is incremented too; or something else: then somebody
// else counted, or an old state folder was put back. That raises the alarm of Status, a boot statement names the value found, and records that were owed
// can't come any more. Nothing else may be counted while a record is owed, except boots, so the store hands out no batch that ends short of one.
// A counter that fails while the sealer runs does not stop sealing, but the next counted statement waits for it, and so does a start, whose boot
// statement must name its value.
//
// # Watching the chain PCR
//
// Nothing else may extend the chain PCR. No test beforehand can show that, so every start and every quote does: the value
// must be the one that this sealer left, or zeros after a reset. Any other is logged, raises the alarm of Status and is on record in a boot statement.
package seal
