package bus

// Large reports that d's body goes through the object store, so that a failure to store it may say nothing of others.
func (b *Bus) Large(d *Delivery) bool { return int64(len(d.Body)) > b.room() }
