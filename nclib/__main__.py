from nclib.cli import main

main()
