package main

type doctorCmd struct{}

func (doctorCmd) Run(w *world) error { return nil }
