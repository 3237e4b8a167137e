"""Behind the commands `nclib measure`, `measure-lm` and `merge`: files and models in, passes, a report out."""
