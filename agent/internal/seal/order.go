package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// state is what the order of seals rests on.
type state struct {
	known          bool // false: nothing was sealed or said before
	pcrs           []evidence.Digest
	chain          evidence.Digest
	reset, restart uint32
	clock          uint64
}

func (a state) sameEpoch(b state) bool { return a.reset == b.reset && a.restart == b.restart }

// read takes the TPM's counts and PCR values of one epoch.
func (s *Sealer) read(ctx context.Context) (state, error) {
	for range 5 {
		st := state{known: true}
		var err error
		if st.reset, st.restart, st.clock, err = s.config.TPM.Clock(ctx); err != nil {
			return state{}, err
		}
		if st.pcrs, err = s.config.TPM.PCRs(ctx); err != nil {
			return state{}, err
		}
		var after state
		if after.reset, after.restart, _, err = s.config.TPM.Clock(ctx); err != nil {
			return state{}, err
		}
		if n := len(st.pcrs); n > 0 {
			st.chain = st.pcrs[n-1]
		}
		if st.sameEpoch(after) {
			return st, nil
		}
	}
	return state{}, errors.New("the TPM is reset all the time")
}

// settle finishes or voids the intent that is there, and appends a boot statement if this run has none yet or if the TPM is
// not in the state that the last seal or boot left.
func (s *Sealer) settle(ctx context.Context) error {
	if err := s.recall(ctx); err != nil {
		return err
	}
	intent, err := s.config.Store.Intent(ctx)
	if err != nil {
		return fmt.Errorf("read intent: %w", err)
	}
	var open []evidence.Digest
	if intent != nil {
		done, err := s.finish(ctx, *intent)
		if err != nil {
			return fmt.Errorf("take up seal of %d: %w", intent.Upto, err)
		}
		if !done {
			open = append(open, intent.Head)
		}
	}
	now, err := s.read(ctx)
	if err != nil {
		return err
	}
	counter, errCounter := s.readCounter(ctx)
	if s.booted && !s.owed && len(open) == 0 && now.sameEpoch(s.base) && now.chain == s.base.chain && now.clock >= s.base.clock && !counter.astray {
		s.lookedAt(errCounter == nil)
		return nil
	}
	if errCounter != nil { // a boot statement must say its value
		return errCounter
	}
	fits, err := s.fits(ctx)
	if err != nil {
		return err
	}
	if fits {
		return s.boot(ctx, now, open, counter)
	}
	return s.adopt(ctx, now, open)
}

// fits reports whether the next seal will cover a boot statement that is appended now. Others append at the same time, so
// it leaves much room.
func (s *Sealer) fits(ctx context.Context) (bool, error) {
	tip, err := s.config.Store.Tip(ctx)
	if err != nil {
		return false, fmt.Errorf("tip: %w", err)
	}
	upto, _, ok, err := s.config.Store.NextHead(ctx)
	if err != nil {
		return false, fmt.Errorf("next head: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !ok || upto+1 >= tip && upto-s.sealed < evidence.MaxSealedStatements/4, nil
}

// adopt goes on from the state found without a boot statement: too much is unsealed for one seal, and the seal
// that covers the boot must follow directly on the state that the boot names. The boot is owed until the backlog is sealed.
func (s *Sealer) adopt(ctx context.Context, now state, open []evidence.Digest) error {
	s.explain(ctx, now, open)
	s.base, s.owed = now, true
	if len(open) == 0 {
		return nil
	}
	if err := s.config.Store.SetIntent(ctx, nil); err != nil {
		return fmt.Errorf("void intent: %w", err)
	}
	return nil
}

// recall sets base from the last seal, at the start.
func (s *Sealer) recall(ctx context.Context) error {
	if s.base.known {
		return nil
	}
	last, err := s.config.Store.LastSeal(ctx)
	if err != nil {
		return fmt.Errorf("read last seal: %w", err)
	}
	if last == nil {
		return nil
	}
	q, err := s.config.TPM.Key().CheckSeal(last)
	if err != nil {
		return fmt.Errorf("last seal: %w", err)
	}
	s.base = stateOf(q)
	s.announce(last.Upto, s.config.Now())
	return nil
}

func stateOf(q attestation.Quote) state {
	return state{known: true, pcrs: q.PCRs, chain: q.ChainValue, reset: q.Reset, restart: q.Restart, clock: q.Clock}
}

// finish takes up an intent where the last run left it. It returns false if the TPM went another way since.
func (s *Sealer) finish(ctx context.Context, i Intent) (bool, error) {
	now, err := s.read(ctx)
	if err != nil {
		return false, err
	}
	before := state{known: true, chain: i.Before, reset: i.Reset, restart: i.Restart}
	if s.base.sameEpoch(before) {
		before.clock = s.base.clock
	}
	if !now.sameEpoch(before) {
		return false, nil
	}
	switch now.chain {
	case attestation.Extend(i.Before, i.Head):
	case i.Before:
		if err := s.config.TPM.Extend(ctx, i.Head); err != nil {
			return false, err
		}
	default:
		return false, nil
	}
	begun := s.config.Now()
	err = s.quote(ctx, before, i.Upto, i.Head, begun)
	if errors.Is(err, errMoved) {
		return false, nil
	}
	return err == nil, err
}

// boot appends a boot statement with the state found; then the intent, if there is one, is void.
func (s *Sealer) boot(ctx context.Context, now state, open []evidence.Digest, counter found) error {
	s.explain(ctx, now, open)
	b := evidence.Boot{
		ChainPCR:     uint64(s.config.TPM.ChainPCR()),
		Counter:      counter.text,
		Intents:      append([]evidence.Digest{}, open...),
		PCRs:         append([]evidence.Digest{}, now.pcrs...),
		ResetCount:   uint64(now.reset),
		RestartCount: uint64(now.restart),
		Software:     s.config.Software,
	}
	if err := s.config.Store.AppendBoot(ctx, b); err != nil {
		return fmt.Errorf("append boot: %w", err)
	}
	s.base, s.booted, s.owed = now, true, false
	s.lookedAt(true)
	if err := s.step("boot"); err != nil {
		return err
	}
	if len(open) == 0 {
		return nil
	}
	if err := s.config.Store.SetIntent(ctx, nil); err != nil {
		return fmt.Errorf("void intent: %w", err)
	}
	return nil
}

// explain logs what was found, and raises the alarm if it is not explained.
func (s *Sealer) explain(ctx context.Context, now state, open []evidence.Digest) {
	log := s.config.Log.With(slog.Uint64("reset_count", uint64(now.reset)), slog.Uint64("restart_count", uint64(now.restart)),
		slog.String("chain_pcr", now.chain.String()), slog.Int("open_intents", len(open)))
	switch {
	case !s.explained(now, open):
		s.mu.Lock()
		s.moved = true
		s.mu.Unlock()
		log.ErrorContext(ctx, "the chain PCR holds a value that this device did not make; everything is kept, but the TPM does not prove the order of what was sealed before and after: find out what else uses this PCR")
	case len(open) > 0:
		log.WarnContext(ctx, "a seal that was begun can't be finished; its statements are sealed anew")
	default:
		log.InfoContext(ctx, "TPM state taken up")
	}
}

// explained applies the rule of the package's doc to what was found.
func (s *Sealer) explained(now state, open []evidence.Digest) bool {
	if !s.base.known || !s.tpm() {
		return true
	}
	from := []evidence.Digest{s.base.chain}
	if !now.sameEpoch(s.base) {
		from = append(from, evidence.Digest{})
	}
	for _, value := range from {
		if now.chain == value {
			return true
		}
		for _, head := range open {
			if value = attestation.Extend(value, head); now.chain == value {
				return true
			}
		}
	}
	return false
}

// seal makes and stores one seal from the state base.
func (s *Sealer) seal(ctx context.Context, upto uint64, head evidence.Digest, begun time.Time) error {
	if err := s.step("begin"); err != nil {
		return err
	}
	if s.tpm() {
		i := &Intent{Upto: upto, Head: head, Before: s.base.chain, Reset: s.base.reset, Restart: s.base.restart}
		if err := s.config.Store.SetIntent(ctx, i); err != nil {
			return fmt.Errorf("store intent: %w", err)
		}
	}
	if err := s.step("intent"); err != nil {
		return err
	}
	if err := s.config.TPM.Extend(ctx, head); err != nil {
		return err
	}
	if err := s.step("extend"); err != nil {
		return err
	}
	return s.quote(ctx, s.base, upto, head, begun)
}

// quote has the TPM sign, and stores the seal if it follows the state before; errMoved if not.
func (s *Sealer) quote(ctx context.Context, before state, upto uint64, head evidence.Digest, begun time.Time) error {
	seal, err := s.config.TPM.Quote(ctx, head, upto)
	if err != nil {
		return err
	}
	if err := s.step("quote"); err != nil {
		return err
	}
	q, err := s.config.TPM.Key().CheckSeal(&seal)
	if err != nil {
		return err
	}
	now := stateOf(q)
	if s.tpm() && (!now.sameEpoch(before) || now.chain != attestation.Extend(before.chain, head) || now.clock < before.clock) {
		return errMoved
	}
	if err := s.config.Store.PutSeal(ctx, seal); err != nil {
		return fmt.Errorf("store seal: %w", err)
	}
	s.base = now
	s.mu.Lock()
	s.seals++
	s.mu.Unlock()
	s.announce(upto, begun)
	s.config.Log.DebugContext(ctx, "sealed", slog.Uint64("upto", upto))
	return s.step("sealed")
}
