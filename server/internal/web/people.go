package web

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/people"
)

func (s *site) peopleRoutes() []Route {
	return []Route{
		{"GET", "/people", auth.SeePeople, s.peoplePage},
		{"GET", "/people/new", auth.EditPeople, s.newPersonPage},
		{"POST", "/people", auth.EditPeople, s.makePerson},
		{"GET", "/people/:id", auth.SeePeople, s.personPage},
		{"POST", "/people/:id", auth.EditPeople, s.changePerson},
		{"POST", "/people/:id/disable", auth.EditPeople, func(c *gin.Context) { s.disablePerson(c, true) }},
		{"POST", "/people/:id/enable", auth.EditPeople, func(c *gin.Context) { s.disablePerson(c, false) }},
		{"POST", "/people/:id/link", auth.EditPeople, s.newLink},
	}
}

const shownPeople = 100

func (s *site) peoplePage(c *gin.Context) {
	list, err := s.Catalog.People(c.Request.Context(), c.Query("after"), shownPeople+1)
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		People []catalog.Person
		Next   string
	}{Frame: s.frame(c, "people"), People: list}
	if len(list) > shownPeople {
		data.People, data.Next = list[:shownPeople], list[shownPeople-1].Login
	}
	s.page(c, http.StatusOK, "people.html", data)
}

// personData is the form of an account.
type personData struct {
	Frame
	P           catalog.Person
	Roles       []auth.Role
	Departments []string
	What        string // was not right
	Link        string // to hand over; shown once
	Until       int64
}

func (s *site) person(c *gin.Context, status int, data personData) {
	title := data.P.Name
	data.Frame, data.Roles = s.frame(c, "new-account"), auth.Roles
	if data.P.ID != "" && title != "" {
		data.Title = title
	}
	if reg, _ := s.register(c.Request.Context()); reg != nil {
		data.Departments = reg.Departments
	}
	s.page(c, status, "person.html", data)
}

func (s *site) newPersonPage(c *gin.Context) { s.person(c, http.StatusOK, personData{}) }

// accountOf reads an account as it was typed.
func accountOf(c *gin.Context, id string) auth.Account {
	form := c.Request.PostForm
	return auth.Account{ID: id, Login: form.Get("login"), Name: form.Get("name"), Role: auth.Role(form.Get("role")), Body: form.Get("body"),
		Certificate: form.Get("certificate")}
}

func (s *site) makePerson(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	typed := accountOf(c, "")
	a, err := s.People.Make(c.Request.Context(), s.me(c).Actor(), typed)
	if what, status := mistake(err); what != "" {
		s.person(c, status, personData{P: catalog.Person{Account: typed}, What: what})
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.handOver(c, a.ID)
}

// handOver makes a link and shows it, this once.
func (s *site) handOver(c *gin.Context, id string) {
	token, err := s.People.Link(c.Request.Context(), id)
	var p catalog.Person
	if err == nil {
		p, err = s.People.Find(c.Request.Context(), id)
	}
	if err != nil {
		s.failPerson(c, err)
		return
	}
	s.person(c, http.StatusOK, personData{P: p, Link: s.Origin + "/link/" + token, Until: s.Now().Add(people.LinkLife).UnixMilli()})
}

func (s *site) failPerson(c *gin.Context, err error) {
	if errors.Is(err, people.ErrUnknown) {
		s.sorry(c, http.StatusNotFound, "no-account")
		return
	}
	s.fail(c, err)
}

func (s *site) personPage(c *gin.Context) {
	p, err := s.People.Find(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.failPerson(c, err)
		return
	}
	s.person(c, http.StatusOK, personData{P: p})
}

func (s *site) changePerson(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	p, err := s.People.Find(c.Request.Context(), c.Param("id"))
	typed := accountOf(c, p.ID)
	typed.Login, typed.Disabled = p.Login, p.Disabled
	if err == nil {
		err = s.People.Change(c.Request.Context(), s.me(c).Actor(), typed)
	}
	s.changed(c, typed, err)
}

// changed shows what came of a change.
func (s *site) changed(c *gin.Context, typed auth.Account, err error) {
	if what, status := mistake(err); what != "" {
		s.person(c, status, personData{P: catalog.Person{Account: typed}, What: what})
		return
	}
	if err != nil {
		s.failPerson(c, err)
		return
	}
	s.see(c, "/people/"+typed.ID)
}

func (s *site) disablePerson(c *gin.Context, disabled bool) {
	p, err := s.People.Find(c.Request.Context(), c.Param("id"))
	if err == nil {
		err = s.People.Disable(c.Request.Context(), s.me(c).Actor(), p.ID, disabled)
		s.watches.recheck()
	}
	s.changed(c, p.Account, err)
}

func (s *site) newLink(c *gin.Context) { s.handOver(c, c.Param("id")) }
