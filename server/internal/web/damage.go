package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// How many damages of one recording, and how many damaged recordings, are looked at.
const (
	shownDamages = 100
	knownDamaged = 1000
)

func (s *site) damageRoutes() []Route {
	return []Route{
		{"POST", "/recordings/:rec/parts/:index/check", auth.SeeRecordings, s.checkPart},
		{"POST", "/recordings/:rec/check", auth.Retain, s.checkAgain},
	}
}

// checkPart reads a part in the vault again and hashes it: a reader's browser asks for it when it found the part wrong, for its word alone is no
// finding. Both outcomes are written down where they are news; the answer is {"sound": true} or false.
func (s *site) checkPart(c *gin.Context) {
	v, o, err := s.whole(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	i, err := strconv.Atoi(c.Param("index"))
	if err != nil || i < 0 || i >= len(o.Parts()) {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	found := o.CheckPart(c.Request.Context(), i)
	if err := s.found(c.Request.Context(), v.Recording, i, found, s.me(c).Actor()); err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"sound": found == nil})
}

// checkAgain reads the parts again that were found damaged.
func (s *site) checkAgain(c *gin.Context) {
	v, o, err := s.whole(c)
	var damages []db.Damage
	if err == nil {
		damages, err = s.Catalog.DamagesOf(c.Request.Context(), v.Device, v.Rec, shownDamages)
	}
	for _, d := range damages {
		if err == nil && int(d.Part) < len(o.Parts()) {
			err = s.found(c.Request.Context(), v.Recording, int(d.Part), o.CheckPart(c.Request.Context(), int(d.Part)), s.me(c).Actor())
		}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.see(c, "/recordings/"+v.Rec)
}

// found writes down what reading a part came to, once for each change: err is that of the reading. Other errors than a wrong or missing object
// say nothing about the part and are returned.
func (s *site) found(ctx context.Context, r db.Recording, part int, err error, actor string) error {
	var wrong *archive.WrongBytes
	gone := errors.Is(err, archive.ErrNotFound)
	damaged := gone || errors.As(err, &wrong)
	if err != nil && !damaged {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	_, err, _ = s.views.Do("damage "+r.Rec+" "+strconv.Itoa(part), func() (any, error) {
		known, err := s.Catalog.DamagesOf(ctx, r.Device, r.Rec, shownDamages)
		if err != nil {
			return nil, err
		}
		was := false
		for _, d := range known {
			was = was || d.Part == int64(part)
		}
		if was == damaged || damaged && len(known) == shownDamages {
			return nil, nil
		}
		device, rec, err := idsOf(r)
		if err != nil {
			return nil, err
		}
		act := casework.Act{Name: catalog.ActFoundSound, Actor: actor, Device: &device, Rec: rec, Detail: evidence.Detail{catalog.DetailPart: strconv.Itoa(part)}}
		if damaged {
			act.Name = catalog.ActFoundDamaged
			s.Slog.ErrorContext(ctx, "the vault does not hold what was sealed; find out who or what changed it, and restore the object from a backup", slog.String("rec", r.Rec), slog.Int("part", part), slog.Bool("gone", gone))
		}
		if gone {
			act.Detail[catalog.DetailGone] = "yes"
		}
		_, err = s.Exporter.Book.Record(ctx, act)
		return nil, err
	})
	return err
}

// foundIn is found for the part that an object's key names.
func (s *site) foundIn(ctx context.Context, rec, key string, err error, actor string) {
	id, err1 := evidence.ParseRecordingID(rec)
	part, err2 := archive.NumberOf(key)
	if err1 != nil || err2 != nil || !strings.Contains(key, "/chunks/") {
		return
	}
	r, err1 := s.Catalog.FindRecording(ctx, id)
	if err1 == nil {
		err1 = s.found(ctx, r, int(part), err, actor)
	}
	if err1 != nil {
		s.Slog.ErrorContext(ctx, "a damage is not written down", slog.String("rec", rec), slog.Any("error", err1))
	}
}
