"""The words of the generated sample, by blank of its forms.

Words after a bar only ever replace others: see tasks/sample.py.
"""

VERBS = (  # base, past, participle, and a form that is none
    "break broke broken breaked",
    "steal stole stolen stealed",
    "draw drew drawn drawed",
    "hide hid hidden hided",
    "throw threw thrown throwed",
    "choose chose chosen choosed",
    "buy bought bought buyed",
    "sell sold sold selled",
    "find found found finded",
    "bring brought brought bringed",
    "take took taken taked",
    "forget forgot forgotten forgetted",
)

WORDS = {
    "age": "young, tall, tired, cheerful, bearded, quiet | short, proud, nervous, thin, sleepy",
    "who": "chef, nurse, farmer, teacher, painter, soldier, student, tailor"
    " | dancer, plumber, guard, waiter, lawyer, pilot, baker, singer",
    "doing": "reading a letter, slicing an apple, fixing a radio, folding a blanket, feeding a cat,"
    " drinking some tea, cleaning a window, counting coins | playing a guitar, painting a chair,"
    " writing a poem, washing a dog, carrying a ladder, sewing a shirt, building a shelf",
    "place": "in the kitchen, on the beach, in the library, at the station, in the barn,"
    " in the cellar, at the church, on a bus | in a tent, at the market, on a ferry,"
    " in the museum, at the hotel, in the garden, at the harbour, on the roof",
    "time": "in the morning, at noon, after lunch, before sunset, during the storm, on a holiday"
    " | at midnight, before breakfast, in the winter, after the concert, on a weekday",
    "thing": "mirror, basket, ladder, bicycle, carpet, hammer, candle, statue",
    "film": "film, movie, story, comedy, drama, script, musical, thriller",
    "good": "charming, touching, witty, brilliant, thrilling, graceful, funny, lovely, splendid,"
    " warm, superb, vivid",
    "bad": "dull, clumsy, boring, dreadful, tedious, shallow, lifeless, sloppy, messy, bland,"
    " horrible, pointless",
    "company": "Keller Foods, Harbor Steel, Northern Rail, Baxter Paper, Union Glass,"
    " Pacific Tools, Mason Textiles, Delta Motors | Granite Bank, Orion Media, Silver Airways,"
    " Polar Energy, Lakeside Chemicals, Falcon Shipping, Crown Hotels",
    "target": "Hill Dairy, Coastal Timber, Summit Bikes, Valley Seeds, Redwood Toys, Arrow Shoes,"
    " Lantern Books, Willow Furniture | Beacon Radio, Maple Clinics, Eagle Trucks,"
    " Tiger Software, Bridge Insurance, Copper Mines, Ocean Telecom",
    "goods": "bread, wire, engines, paper, bottles, drills, curtains, tyres"
    " | turbines, medicine, cameras, cement, perfume, computers, sugar",
    "price": "20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95",
    "day": "Monday, Tuesday, Wednesday, Thursday | Friday, Saturday, Sunday",
    "year": "1972, 1975, 1978, 1981, 1984, 1987, 1990, 1993 | 1903, 1908, 1912, 1917, 1921, 1926",
    "goal": "learn Spanish, bake bread, repair a bicycle, lose weight, write a novel, play chess,"
    " train a puppy, grow tomatoes | sell a car, paint a wall, draw portraits, quit smoking,"
    " start a band, catch fish, brew coffee",
    "limit": "at home, on a small budget, in one month, without any help, during the summer,"
    " after a long day, with two children, in a big city",
    "name": "Maria, Peter, Helen, Victor, Laura, Simon, Clara, Oscar",
    "family": "Keller, Novak, Hansen, Moreau, Romano, Fischer, Silva, Walsh, Becker, Lindberg,"
    " Costa, Murphy, Petrov, Jensen, Wagner, Rossi",
    "shop": "bakery, bookshop, theatre, school, pharmacy, brewery, gallery, cinema",
    "city": "Lisbon, Vienna, Dublin, Prague, Oslo, Geneva, Athens, Madrid",
    "partner": "a cousin, a neighbour, an uncle, a colleague, a sister, a friend",
    "praise": "praised, welcomed, supported, trusted, defended, applauded, thanked, honoured"
    " | admired, endorsed, cherished, rewarded",
    "blame": "condemned, rejected, accused, attacked, mocked, criticised, denounced, threatened"
    " | insulted, deplored, punished, betrayed",
    "number": "five, seven, nine, twelve, fifteen, twenty",
}

OFFICE_WORDS = {  # for the mismatched split of MNLI
    "who": "minister, banker, senator, manager, scientist, judge, reporter, clerk"
    " | director, lobbyist, governor, trader, treasurer, mayor, secretary, diplomat",
    "doing": "signing a contract, reviewing a budget, typing a report, answering a question,"
    " checking a list, correcting a speech, studying a map, opening a parcel",
    "place": "at the embassy, in the courtroom, at the airport, in the archive, in the lobby,"
    " at the bank, on a train, in the basement | in the laboratory, at the college,"
    " in the parliament, at the stadium, on a balcony, in the hospital, at the factory",
}
