"""Attribution methods: which pixels a score rests on, and how much information they carry."""
