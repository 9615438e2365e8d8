module archive

go 1.18
