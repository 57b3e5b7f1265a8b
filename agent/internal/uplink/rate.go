package uplink

// Rate is how many bytes a second footage may take of the link that is used now; 0: any.
func (u *Uplink) Rate() int64 {
	_, limit, _ := u.Client.link.how()
	return limit
}
