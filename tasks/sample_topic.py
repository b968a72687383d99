"""A generated sample of texts about the ten categories of WebNLG, for machines without the data.

It is none of WebNLG. Made as the samples of data-to-text are: three texts for each set of triples.
"""

import random

from tasks import sample_text
from tasks.pairs import Pair
from tasks.sample_text import Property, Topic

VERSION = 1  # raised whenever a text changes
TRAIN, DEV = 400, 80  # sets of triples


def generate() -> dict[str, list[Pair]]:
    """Pairs of triples and a text by split, categories in turn; no triples in two splits."""
    draw = random.Random(f"topic@{VERSION}")
    groups = sample_text._groups(draw, "webnlg", TOPICS, TRAIN + DEV)
    return {"train": sample_text._flat(groups[:TRAIN]), "dev": sample_text._flat(groups[TRAIN:])}


TOPICS: dict[str, Topic] = {
    "Airport": sample_text.TOPICS["webnlg"]["Airport"],
    "Food": sample_text.TOPICS["webnlg"]["Food"],
    "Astronaut": Topic(
        "Alma, Boris, Grace, Tomas, Yuki, Viktor",
        "Hale, Orlov, Tanaka, Berg, Silva",
        (
            Property(
                "mission",
                "Aurora_7, Meridian_2, Horizon_11, Polaris_4",
                (
                    "{s} flew on the space mission {o}.",
                    "{s} was a crew member of {o}.",
                    "The crew of {o} included {s}.",
                ),
            ),
            Property(
                "timeInSpace",
                "2100, 5400, 8650, 12300",
                (
                    "The time in space was {o} minutes.",
                    "The astronaut spent {o} minutes in space.",
                    "{o} minutes were spent in orbit.",
                ),
            ),
        ),
    ),
    "Building": Topic(
        "Harper, Crescent, Linden, Granite, Beacon, Union",
        "Tower, House, Hall, Plaza",
        (
            Property(
                "architect",
                "Ada_Moss, Leon_Brandt, Ines_Duarte, Karl_Wirth",
                (
                    "{o} was the architect of {s}.",
                    "{s} was designed by the architect {o}.",
                    "The design of {s} is by {o}.",
                ),
            ),
            Property(
                "floorCount",
                "4, 12, 23, 45, 60",
                ("It has {o} floors.", "{s} has {o} floors.", "There are {o} floors."),
            ),
        ),
    ),
    "City": Topic(
        "North, East, New, Lower, Mount, Port",
        "Avalon, Marlow, Quincy, Denby",
        (
            Property(
                "leaderTitle",
                "mayor, city_council, city_manager",
                (
                    "The city of {s} is led by a {o}.",
                    "{s} is governed by its {o}.",
                    "A {o} leads the town of {s}.",
                ),
            ),
            Property(
                "populationTotal",
                "18400, 96200, 251000, 733500",
                (
                    "It has a population of {o}.",
                    "{o} people live there.",
                    "The population is {o}.",
                ),
            ),
        ),
    ),
    "ComicsCharacter": Topic(
        "Captain, Doctor, Night, Scarlet, Iron, Silver",
        "Falcon, Comet, Shade, Tiger",
        (
            Property(
                "creator",
                "Max_Winter, Lily_Ames, Joe_Castle, Nora_Finch",
                (
                    "The comic book character {s} was created by {o}.",
                    "{o} is the creator of the comic {s}.",
                    "{s} is a comics hero by {o}.",
                ),
            ),
            Property(
                "firstAppearance",
                "1941, 1958, 1966, 1983",
                (
                    "The first issue appeared in {o}.",
                    "The character first appeared in {o}.",
                    "It was {o} when the hero first appeared.",
                ),
            ),
        ),
    ),
    "Monument": Topic(
        "Fallen, Liberty, Victory, Sailors, Founders, Peace",
        "Memorial, Monument, Column",
        (
            Property(
                "dedicatedTo",
                "Soldiers_of_the_Great_War, Lost_Sailors, First_Settlers",
                (
                    "{s} is dedicated to the {o}.",
                    "The monument {s} commemorates the {o}.",
                    "The {o} are remembered at {s}.",
                ),
            ),
            Property(
                "material",
                "bronze, red_granite, marble, limestone",
                ("It is made of {o}.", "The memorial is of {o}.", "{o} is its material."),
            ),
        ),
    ),
    "SportsTeam": Topic(
        "Arden, Brigg, Castel, Dover, Elton, Ferro",
        "Rovers, United, Wanderers, City_FC",
        (
            Property(
                "league",
                "Premier_Division, Second_League, Northern_League",
                (
                    "{s} play in the {o}.",
                    "The football club {s} is in the {o}.",
                    "The {o} is the league of {s}.",
                ),
            ),
            Property(
                "manager",
                "Paul_Ritter, Dino_Sala, Henrik_Lund",
                (
                    "The team is managed by {o}.",
                    "Their manager is {o}.",
                    "{o} manages the club.",
                ),
            ),
        ),
    ),
    "University": Topic(
        "Ashford, Bellview, Carver, Drummond, Elmsley, Falk",
        "University, College, Institute",
        (
            Property(
                "numberOfStudents",
                "2400, 7800, 16000, 31500",
                (
                    "{s} has {o} students.",
                    "{o} students are enrolled at {s}.",
                    "The number of students at {s} is {o}.",
                ),
            ),
            Property(
                "campus",
                "Riverside, Old_Town, Hillcrest",
                (
                    "Its campus is in {o}.",
                    "The campus stands in {o}.",
                    "{o} is where its campus is.",
                ),
            ),
        ),
    ),
    "WrittenWork": Topic(
        "Silent, Distant, Broken, Golden, Last, Hidden",
        "Harvest, Letters, Shores, Winter",
        (
            Property(
                "author",
                "Mary_Cole, Ivan_Petrov, Sofia_Reyes, John_Hart",
                (
                    "{o} wrote {s}.",
                    "{s} is a book by the author {o}.",
                    "The author of {s} is {o}.",
                ),
            ),
            Property(
                "numberOfPages",
                "120, 286, 340, 512",
                (
                    "The book has {o} pages.",
                    "It is {o} pages long.",
                    "{o} pages were printed.",
                ),
            ),
        ),
    ),
}
